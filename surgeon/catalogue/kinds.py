"""All kinds of entries under one roof, for the schema's messages, the listings and the reference."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from surgeon.catalogue.augmentations import AUGMENTATIONS
from surgeon.catalogue.backbones import BACKBONES
from surgeon.catalogue.entry import Table
from surgeon.catalogue.exporters import EXPORTERS
from surgeon.catalogue.groupings import GROUPINGS
from surgeon.catalogue.head_layers import HEAD_LAYERS
from surgeon.catalogue.losses import LOSSES
from surgeon.catalogue.optimizers import OPTIMIZERS
from surgeon.catalogue.preprocessing import PREPROCESSINGS
from surgeon.catalogue.resizings import RESIZINGS
from surgeon.catalogue.schedules import SCHEDULES
from surgeon.catalogue.sources import SOURCES

KINDS: Mapping[str, Table[Any]] = {
    "backbone": BACKBONES,
    "source": SOURCES,
    "grouping": GROUPINGS,
    "resizing": RESIZINGS,
    "head layer": HEAD_LAYERS,
    "optimizer": OPTIMIZERS,
    "schedule": SCHEDULES,
    "loss": LOSSES,
    "augmentation": AUGMENTATIONS,
    "preprocessing": PREPROCESSINGS,
}
# What has a listing: what recipes may name, and the formats that `surgeon export` writes.
LISTED: Mapping[str, Table[Any]] = {**KINDS, "exporter": EXPORTERS}


def listing_command(kind: str) -> str:
    """Returns the command that lists a kind, such as ``head-layers``."""
    plural = {"preprocessing": "preprocessing", "loss": "losses"}
    return plural.get(kind, f"{kind}s").replace(" ", "-")
