"""Findings about images as a table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.table import Table

from surgeon.report.terminal import styled, table
from surgeon.results.findings import SEVERITIES, Finding

if TYPE_CHECKING:
    from rich.text import Text

_ROWS_A_KIND = 10
_STYLES = {"error": "bold red", "warning": "yellow", "info": "dim"}


def findings_table(findings: Sequence[Finding]) -> Table:
    """Renders findings, of each kind the first ones."""
    made = table(None, "severity", "finding", "images", "", numbers=("images",))
    counts = Counter(finding.kind for finding in findings)
    shown = Counter[str]()
    for finding in findings:
        shown[finding.kind] += 1
        if shown[finding.kind] <= _ROWS_A_KIND:
            severity = styled((finding.severity, _STYLES[finding.severity]))
            made.add_row(severity, finding.kind, str(len(finding.files) or ""), finding.message)
        elif shown[finding.kind] == _ROWS_A_KIND + 1:
            more = f"{counts[finding.kind] - _ROWS_A_KIND:,} more; --format json lists all, --sheet shows them"
            made.add_row("", finding.kind, "", styled((more, "dim")))
    return made


def findings_summary(findings: Sequence[Finding], images: str) -> Text:
    """Renders how many findings there are of each severity among some images."""
    counts = Counter(finding.severity for finding in findings)
    if not counts:
        return styled(f"{images}: ", ("OK", "green"))
    named = [name for name in SEVERITIES if counts[name]]
    parts = [(f"{counts[name]:,} {name}{'s' if counts[name] > 1 else ''}", _STYLES[name]) for name in named]
    return styled(f"{images}: ", styled(*parts, separator=", "))
