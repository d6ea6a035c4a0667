"""How splits are called, by us and by others."""

from __future__ import annotations

SPLITS = ("train", "validation", "test")
SPLIT_SPELLINGS = {
    "train": "train",
    "validation": "validation",
    "val": "validation",
    "valid": "validation",
    "test": "test",
}
