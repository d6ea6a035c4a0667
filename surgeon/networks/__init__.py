"""Networks that Keras does not have, readers of weights in foreign formats, and how far a stranger's may unpack."""

from surgeon.tensorflow import load_tensorflow

load_tensorflow()  # before a module of this room imports Keras
