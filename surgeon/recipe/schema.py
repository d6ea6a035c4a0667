"""The JSON Schema of recipes: what every recipe begins with, and the keys of a plan."""

from __future__ import annotations

import functools

from surgeon.catalogue.entry import path
from surgeon.recipe.keys import Schema, mapping, section
from surgeon.recipe.plan import Plan


@functools.cache
def recipe_schema() -> Schema:
    """Returns the schema that recipes are checked against and that editors read."""
    plan = section(Plan)
    properties = {
        "recipe": {"description": "Version of the recipe language.", "const": 1},
        "extends": path("Another recipe that this one builds on; null removes one of its keys."),
        **plan["properties"],
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "surgeon recipe",
        **mapping(plan["description"], properties, ("recipe", *plan["required"])),
    }
