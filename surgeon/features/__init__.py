"""What is computed once: samples and the outputs of frozen layers."""

from surgeon.tensorflow import load_tensorflow

load_tensorflow()  # before a module of this room imports Keras
