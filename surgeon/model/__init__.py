"""From a plan to a Keras model: cut, sew, freeze."""

from surgeon.tensorflow import load_tensorflow

load_tensorflow()  # before a module of this room imports Keras
