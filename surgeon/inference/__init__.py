"""A trained network at work: classes, measures on other images, explanations."""
