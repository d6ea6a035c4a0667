"""Frozen results and events, with their JSON form."""
