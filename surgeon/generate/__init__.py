"""What `make generate` writes from the catalogue: the schema, the layer tables, the references."""

from surgeon.tensorflow import load_tensorflow

load_tensorflow()  # before a module of this room imports Keras
