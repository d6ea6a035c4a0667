"""From results to what a person reads. Imports nothing of data, model or training."""
