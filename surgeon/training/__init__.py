"""From a model and images to trained weights, phase by phase."""

from surgeon.tensorflow import load_tensorflow

load_tensorflow()  # before a module of this room imports Keras
