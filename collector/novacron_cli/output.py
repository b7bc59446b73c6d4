"""What reaches the terminal: tables, JSON, and text that others chose, made harmless."""

from __future__ import annotations

import json
import re
import shutil
import sys
import unicodedata
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import compress
from typing import Any

from rich.box import Box
from rich.console import Console
from rich.table import Table
from rich.text import Text

MAX_CELL = 200
MAX_NAME = 40  # in a list of many
_ENDLESS = 100_000  # columns
_UNSEEN = {"Cc", "Cf", "Cs", "Cn", "Zl", "Zp"}  # control, direction, surrogate, line separators
_BARS = "▁▂▃▄▅▆▇█"
_RULED = Box("    \n    \n ── \n    \n    \n    \n    \n    \n")  # a line below the headings
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


def console(*, to_stderr: bool = False) -> Console:
    """Colour on a terminal only. Lines are as long as they are, nothing is cut or folded."""
    file = sys.stderr if to_stderr else sys.stdout
    return Console(file=file, markup=False, highlight=False, emoji=False, width=_ENDLESS)


def moment(text: str) -> str:
    """A time of the API, to the second."""
    return re.sub(r"\.\d+", "", text)


def coloured(word: str) -> Text:
    return Text(plain(word), style=_COLOURS.get(word, ""))


def print_table(
    headings: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    right: Collection[str] = (),
    droppable: Sequence[str] = (),
    folded: Collection[str] = (),
    to_stderr: bool = False,
) -> None:
    """`right` are the columns aligned so, as numbers are; `droppable` those that a narrow terminal
    goes without, the first one first; `folded` those that take several lines then."""
    out, every = console(to_stderr=to_stderr), list(rows)
    room = shutil.get_terminal_size().columns if out.file.isatty() else _ENDLESS
    made = _table(headings, every, right, (), folded)
    for count in range(1, len(droppable) + 1):
        if out.measure(made).maximum <= room:
            break
        made = _table(headings, every, right, droppable[:count], folded)
    out.print(made, width=room if folded else None)


def _table(
    headings: Sequence[str],
    rows: Iterable[Sequence[object]],
    right: Collection[str],
    dropped: Collection[str],
    folded: Collection[str],
) -> Table:
    made = Table(
        box=_RULED, header_style="bold", pad_edge=False, show_edge=False, padding=(0, 1, 0, 0)
    )
    kept = [heading not in dropped for heading in headings]
    for heading in compress(headings, kept):
        made.add_column(
            plain(heading),
            justify="right" if heading in right else "left",
            no_wrap=heading not in folded,
            overflow="fold",
        )
    for row in rows:
        cells = compress(row, kept)
        made.add_row(*(cell if isinstance(cell, Text) else Text(plain(cell)) for cell in cells))
    return made


def print_facts(facts: Mapping[str, object]) -> None:
    """One per line, aligned."""
    width = max((len(plain(name)) for name in facts), default=0)
    for name, value in facts.items():
        console().print(f"{plain(name):{width}}  {plain(value)}")


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
