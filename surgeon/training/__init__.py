"""From a model and images to trained weights, phase by phase."""
