"""From a source to labelled, split, decoded images."""
