"""The composed network as rows: the backbone up to the cut, the head after it. No TensorFlow."""

from __future__ import annotations

import difflib
import fnmatch
import itertools
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from surgeon.catalogue.backbones import BACKBONES
from surgeon.catalogue.head_layers import HEAD_LAYERS
from surgeon.catalogue.layer_table import LayerRow, LayerTable
from surgeon.errors import did_you_mean, quote
from surgeon.text import first_few

Selector = int | str


@dataclass(frozen=True)
class HeadLayer:
    """One layer of the head; ``name`` is its name in the network."""

    name: str
    kind: str
    parameters: Mapping[str, Any]


class SelectorError(ValueError):
    """A selector that matches nothing, with a hint."""

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


@dataclass(frozen=True)
class Network:
    """A backbone up to its cut and a head, row by row.

    The backbone's rows keep the indices of their table, so indices have a gap where the cut drops a branch.

    Attributes:
        cut: Index of the last layer that is kept; the head's layers follow it.
        dropped: Names of the backbone's layers that the cut leaves out.
    """

    name: str
    cut: int
    rows: tuple[LayerRow, ...] = field(repr=False)  # hundreds, which would fill a notebook
    dropped: tuple[str, ...] = field(default=(), repr=False)

    @property
    def backbone(self) -> tuple[LayerRow, ...]:
        """The rows that come from the backbone."""
        return tuple(row for row in self.rows if row.index <= self.cut)

    @property
    def head(self) -> tuple[LayerRow, ...]:
        """The rows that are sewn on."""
        return tuple(row for row in self.rows if row.index > self.cut)

    def select(self, selectors: Sequence[Selector]) -> tuple[LayerRow, ...]:
        """Returns the rows that any of ``selectors`` means, in the network's order.

        Raises:
            SelectorError: If one of them matches nothing.
        """
        chosen = {row.index for selector in selectors for row in self._matches(selector)}
        return tuple(row for row in self.rows if row.index in chosen)

    def _matches(self, selector: Selector) -> Sequence[LayerRow]:
        groups = {"all": self.rows, "head": self.head, "backbone": self.backbone}
        if selector in groups:
            return groups[str(selector)]
        pattern = _pattern(selector)
        if pattern is None:
            return [self.row(selector)]
        named = [row for row in self.rows if row.name == selector]
        try:
            meant = self._range(*pattern) if isinstance(pattern, tuple) else self._glob(pattern)
        except SelectorError:
            if not named:
                raise
            return named
        if named and meant != named:
            raise _is_ambiguous(selector, f"a pattern and the name of layer {named[0].index}", "")
        return meant

    def _range(self, first: str, last: str) -> list[LayerRow]:
        start = self.row(first).index if first else 0
        stop = self.row(last).index if last else self.rows[-1].index
        if start > stop:
            raise SelectorError(
                f"the range {quote(f'{first}..{last}')} ends before it starts", f"write '{last}..{first}'"
            )
        return [row for row in self.rows if start <= row.index <= stop]

    def _glob(self, pattern: str) -> list[LayerRow]:
        matches = [row for row in self.rows if fnmatch.fnmatchcase(row.name, pattern)]
        if not matches:
            for name in fnmatch.filter(self.dropped, pattern):
                raise self._is_dropped(name)
            near = _nearest_glob(pattern, [row.name for row in self.rows])
            raise SelectorError(f"no layer of {self.name} matches {quote(pattern)}", near or self._listed)
        return matches

    def row(self, wanted: Selector) -> LayerRow:
        """Returns the row with that index or name; ``=NAME`` is the name for certain, whatever it looks like.

        Raises:
            SelectorError: If there is none, or if index and name mean two.
        """
        text = str(wanted)
        name, index = (text[1:], None) if text.startswith("=") else (text, _index(wanted))
        named = next((row for row in self.rows if row.name == name), None)
        indexed = next((row for row in self.rows if row.index == index), None)
        if named and indexed and named != indexed:
            raise _is_ambiguous(
                name, f"the name of layer {named.index} and the index of {indexed.name!r}", f" or '={indexed.name}'"
            )
        found = named or indexed
        if found is None:
            raise self._is_missing(name if index is None else index)
        return found

    def spell(self, row: LayerRow) -> str:
        """Returns a selector that means one row and nothing else."""
        looks_like_more = _pattern(row.name) is not None or _index(row.name) is not None or row.name.startswith("=")
        return f"={row.name}" if looks_like_more else row.name

    @property
    def cut_row(self) -> LayerRow:
        """The last row that is kept of the backbone."""
        return next(row for row in self.rows if row.index == self.cut)

    def _is_missing(self, wanted: Selector) -> SelectorError:
        last = self.rows[-1].index
        if wanted in self.dropped or (isinstance(wanted, int) and 0 <= wanted <= last):
            return self._is_dropped(wanted)
        if isinstance(wanted, int):
            return SelectorError(f"no layer has the index {wanted}", f"expected 0 to {last}")
        known = ["head", "backbone", "all", *(row.name for row in self.rows)]
        dashed = re.fullmatch(r"([0-9]+) ?[-:] ?([0-9]+)", wanted)
        hint = f"write {dashed[1]}..{dashed[2]}" if dashed else did_you_mean(wanted, known)
        return SelectorError(f"no layer of {self.name} is called {quote(wanted)}", hint or self._listed)

    @property
    def _listed(self) -> str:
        if self.name in BACKBONES:
            return f"`surgeon layers {self.name}` lists them"
        return f"its layers are {', '.join(first_few((quote(row.name) for row in self.rows), 10))}"

    def _is_dropped(self, wanted: Selector) -> SelectorError:
        listed = f" of `surgeon layers {self.name}`" if self.name in BACKBONES else ""
        return SelectorError(
            f"layer {wanted!r} is dropped, since the cut at {self.cut_row.name!r} does not depend on it",
            f"cut later, or choose among those{listed} that lead to the cut",
        )


class HeadError(ValueError):
    """A layer of a head that does not fit the shape before it; ``at`` is its place in the head."""

    def __init__(self, message: str, at: int) -> None:
        super().__init__(message)
        self.at = at


def whole(table: LayerTable) -> Network:
    """Returns a network without cut or head, for selecting among a backbone's layers."""
    return Network(table.network, len(table.rows) - 1, table.rows)


def compose(table: LayerTable, cut: int, head: Sequence[HeadLayer]) -> Network:
    """Cuts a table after row ``cut`` and appends the head's rows.

    Raises:
        HeadError: With the reason, if a layer of the head does not fit the shape before it.
    """
    kept = table.ancestors(cut)
    rows = [row for row in table.rows if row.index in kept]
    for at, layer in enumerate(head):
        before = rows[-1]
        if layer.kind.startswith("global_") and len(before.shape) != 3:
            raise HeadError(
                f"{layer.kind} pools feature maps, but {before.name!r} puts out {before.shape}, "
                "which is not (height, width, channels)",
                at,
            )
        rows.append(_head_row(layer, cut + 1 + at, before))
    dropped = tuple(row.name for row in table.rows if row.index not in kept)
    return Network(table.network, cut, tuple(rows), dropped)


def _head_row(layer: HeadLayer, index: int, before: LayerRow) -> LayerRow:
    spec = HEAD_LAYERS[layer.kind]
    trainable, fixed = spec.weights(layer.parameters, before.shape)
    shape = spec.output_shape(layer.parameters, before.shape)
    return LayerRow(index, layer.name, spec.keras_name, (before.index,), shape, trainable, fixed)


def name_head(layers: Sequence[tuple[str, Mapping[str, Any]]], taken: Collection[str] = ()) -> tuple[HeadLayer, ...]:
    """Names a head's layers: ``head_dense``, ``head_dense_2`` and so on, but for names that are ``taken``."""
    free = {
        kind: (name for name in _head_names(kind) if name not in taken)
        for kind in dict.fromkeys(kind for kind, _ in layers)
    }
    return tuple(HeadLayer(next(free[kind]), kind, parameters) for kind, parameters in layers)


def _head_names(kind: str) -> Iterator[str]:
    yield f"head_{kind}"
    for number in itertools.count(2):
        yield f"head_{kind}_{number}"


def activation(layer: HeadLayer) -> str | None:
    """Returns the nonlinearity that a head's layer ends with, or None if it has none."""
    found = layer.parameters.get("activation", layer.parameters.get("function"))
    return None if found is None else str(found)


def _index(wanted: Selector) -> int | None:
    """Returns the index that a selector may be, quoted or not."""
    return int(wanted) if isinstance(wanted, int) or re.fullmatch("[0-9]{1,9}", wanted) else None


def _pattern(selector: Selector) -> tuple[str, str] | str | None:
    """Returns the ends of a range, a glob, or None for the name or index of one layer."""
    if isinstance(selector, int) or selector.startswith("="):
        return None
    if ".." in selector:
        first, _, last = selector.partition("..")
        return first, last
    return selector if any(mark in selector for mark in "*?[") else None


def _is_ambiguous(found: Selector, meanings: str, otherwise: str) -> SelectorError:
    return SelectorError(f"{quote(found)} is {meanings}", f"write '={found}' for the layer of that name{otherwise}")


def _nearest_glob(pattern: str, names: Sequence[str]) -> str | None:
    """Suggests a glob of the same form whose fixed beginning does occur."""
    stem = min((pattern.partition(mark)[0] for mark in "*?["), key=len)
    lengths = (len(stem), len(stem) + 1, len(stem) - 1)
    stems = dict.fromkeys(name[:length] for length in lengths if length > 0 for name in names)
    near = difflib.get_close_matches(stem, stems, n=1, cutoff=0.6)
    return f"did you mean {near[0] + pattern[len(stem) :]!r}?" if near else None
