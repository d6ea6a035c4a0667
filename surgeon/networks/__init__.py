"""Networks that Keras does not have, and readers of weights in foreign formats."""
