"""What is shown on a terminal: text is text there, whatever it says."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich import box
from rich.cells import cell_len
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from surgeon.text import printable


class Terminal(Console):
    """A console on which a ``str`` is one line of text, in the cell of a table too: no markup, no escape sequence.

    Where there is no terminal, it is as wide as tables and epochs need it to be.
    """

    def __init__(self, *, stderr: bool = False, quiet: bool = False) -> None:
        super().__init__(stderr=stderr, quiet=quiet, markup=False, emoji=False, highlight=False)
        if not self.is_terminal:
            self.width = 160

    def render_str(self, text: str, **looks: Any) -> Text:
        """Returns a line of text; all that is a ``str`` comes through here before it is measured and shown."""
        visible = printable(text).encode(self.encoding, "backslashreplace").decode(self.encoding)
        return super().render_str(visible, **looks)

    def show(self, *shown: RenderableType) -> None:
        """Shows lines and tables; where there is no terminal, a line is not wrapped."""
        for one in shown:
            self.print(one, soft_wrap=isinstance(one, str | Text) and not self.is_terminal)

    def write_line(self, text: str) -> None:
        """Writes a line without colours over the one that ``overwrite`` wrote."""
        self.file.write(f"\r{printable(text):<{self._overwritten}}\n" if self._overwrites else f"{printable(text)}\n")

    def overwrite(self, text: str) -> None:
        """Writes a line that the next one is written over; where there is neither terminal nor notebook, nothing."""
        if self._overwrites:
            self.file.write(f"\r{printable(text)[: self._overwritten]:<{self._overwritten}}\r")
        if self.is_terminal:  # a notebook shows several times a second what was written, and would wait for each
            self.file.flush()

    @property
    def _overwrites(self) -> bool:
        return self.is_terminal or self.is_jupyter

    @property
    def _overwritten(self) -> int:
        """How many columns are: one more, and a narrow terminal would wrap the line."""
        return min(self.width - 1, 79)


def table(title: str | None, *columns: str, numbers: Iterable[str] = ()) -> Table:
    """Returns an empty table in the house's style; the columns in ``numbers`` are aligned to the right."""
    made = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    right = set(numbers)
    for column in columns:
        made.add_column(column, justify="right" if column in right else "left", overflow="fold")
    return made


def keep_whole(made: Table, header: str) -> None:
    """Lets the cells that a column has by now stay on one line each, where the terminal has the room for the longest.

    It is for names that people copy; the other columns are wrapped instead.
    """
    (column,) = (column for column in made.columns if column.header == header)
    column.width = max(cell_len(printable(cell)) for cell in (header, *column.cells))


def styled(*parts: str | tuple[str, str] | Text, separator: str = "") -> Text:
    """Returns one line of text of which some parts, given with a style, look different."""
    return Text(separator).join(map(_part, parts))


def _part(part: str | tuple[str, str] | Text) -> Text:
    if isinstance(part, Text):
        return part
    text, style = (part, "") if isinstance(part, str) else part
    return Text(printable(text), style)
