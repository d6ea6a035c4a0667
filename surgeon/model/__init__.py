"""From a plan to a Keras model: cut, sew, freeze."""
