"""Which recipe is best: many trials, or many looks at one network, at the price of little more than one run."""

from surgeon.tensorflow import load_tensorflow

load_tensorflow()  # before a module of this room imports Keras
