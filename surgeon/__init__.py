"""Network surgery as a file: fine-tune an image classifier from a YAML recipe."""

from importlib.metadata import version

__version__ = version("surgeon")
