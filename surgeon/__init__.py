"""Network surgery as a file: fine-tune an image classifier from a YAML recipe."""

__version__ = "0.1.0"  # pyproject.toml reads it from here, so it is the same in a checkout that nobody installed
