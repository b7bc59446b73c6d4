"""What reaches the terminal: tables, JSON, and text that others chose, made harmless."""

from __future__ import annotations

import json
import sys
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any

from rich.box import Box
from rich.console import Console
from rich.table import Table
from rich.text import Text

MAX_CELL = 200
_UNSEEN = {"Cc", "Cf", "Cs", "Cn", "Zl", "Zp"}  # control, direction, surrogate, line separators
_BARS = "▁▂▃▄▅▆▇█"
_RULED = Box("    \n    \n -- \n    \n    \n    \n    \n    \n")
_COLOURS = {
    "fresh": "green",
    "running": "green",
    "stale": "yellow",
    "paused": "yellow",
    "warning": "yellow",
    "gone": "red",
    "crashed": "red",
    "blocked": "red",
    "critical": "red",
}


def plain(text: object, longest: int = MAX_CELL) -> str:
    """Text that a guest or a sender chose: it can neither steer the terminal nor flood it."""
    whole = str(text)
    shown = "".join("�" if unicodedata.category(c) in _UNSEEN else c for c in whole[:longest])
    return f"{shown}…" if len(whole) > longest else shown


def console() -> Console:
    """Colour on a terminal only; elsewhere lines are as long as they are."""
    wide = None if sys.stdout.isatty() else 100_000
    return Console(file=sys.stdout, markup=False, highlight=False, emoji=False, width=wide)


def coloured(word: str) -> Text:
    return Text(plain(word), style=_COLOURS.get(word, ""))


def table(headings: Sequence[str], rows: Iterable[Sequence[object]], numbers: str = "") -> Table:
    """`numbers` has an "r" for each column that is aligned to the right: " r r"."""
    made = Table(box=_RULED, header_style="bold", pad_edge=False, show_edge=False)
    for heading, side in zip(headings, numbers.ljust(len(headings)), strict=True):
        made.add_column(plain(heading), justify="right" if side == "r" else "left", no_wrap=True)
    for row in rows:
        made.add_row(*(cell if isinstance(cell, Text) else Text(plain(cell)) for cell in row))
    return made


def print_json(document: Any) -> None:
    """ASCII alone: every control character is an escape."""
    print(json.dumps(document, indent=2))


def sparkline(values: Sequence[float | None]) -> str:
    """One character per value, from the lowest to the highest; a gap is a blank."""
    known = [value for value in values if value is not None]
    if not known:
        return " " * len(values)
    low, span = min(known), max(known) - min(known)
    top = len(_BARS) - 1
    return "".join(
        " " if value is None else _BARS[round(top * (value - low) / span) if span else 0]
        for value in values
    )
