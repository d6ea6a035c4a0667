"""What `make generate` writes from the catalogue: the schema, the layer tables, the references."""
