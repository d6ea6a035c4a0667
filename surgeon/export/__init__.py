"""A trained network in use: classes of images, measures on other data, other formats."""
