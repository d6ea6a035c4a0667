"""What is known of a recipe while it is checked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from surgeon.errors import Diagnostic
from surgeon.recipe.text import spell_path

if TYPE_CHECKING:
    from surgeon.catalogue.layer_table import LayerTable
    from surgeon.recipe.complete import Values
    from surgeon.recipe.document import Document
    from surgeon.recipe.network import HeadLayer, Network
    from surgeon.recipe.text import ValuePath


@dataclass
class Findings:
    """What is known of a recipe while it is checked; a part that has a problem stays None.

    Attributes:
        values: The recipe in its long form.
        model: The Keras model that has no layer table: that of a file, or of another package's backbone.
        train_images: How many images are trained on, where they were counted.
        network: The backbone up to the cut with the head after it.
    """

    document: Document
    values: Values
    problems: list[Diagnostic]
    counts_images: bool = False
    train_images: int | None = None
    image_size: tuple[int, int] | None = None
    classes: tuple[str, ...] | None = None
    model: Any = None
    table: LayerTable | None = None
    head: tuple[HeadLayer, ...] | None = None
    network: Network | None = None

    def report(self, path: ValuePath, code: str, message: str, hint: str | None = None) -> None:
        """Notes a problem of the value at ``path``."""
        location = self.document.location(path)
        self.problems.append(Diagnostic(code, message, location, spell_path(path), hint))
