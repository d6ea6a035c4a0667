"""What may stand in a recipe: one file a kind, one entry in one place."""
