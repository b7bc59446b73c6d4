"""Which series: conditions on their labels, nested as one likes.

Labels are the attributes of a series, what its entity's resource says, and `entity`; an attribute
hides a tag of the same name. A label that is not there is like an empty one, as in Prometheus.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from novacron_contract.errors import BadMessage

Chosen = NDArray[np.bool_]
MAX_DEPTH = 20
MAX_VALUE = 4096  # characters


@dataclass(frozen=True, slots=True)
class Label:
    """Compare a label: `=`, `!=`, and `=~`, `!~` (an RE2 expression matches all of it, or not)."""

    name: str
    op: str
    value: str

    def __post_init__(self) -> None:
        if self.op not in ("=", "!=", "=~", "!~"):
            raise BadMessage(f"{self.op!r}: expected one of = != =~ !~")
        if len(self.value) > MAX_VALUE:
            raise BadMessage(f"the value of {self.name}: more than {MAX_VALUE} characters")


@dataclass(frozen=True, slots=True)
class All:
    """Every one of `of` holds; without any: all series."""

    of: tuple[Filter, ...] = ()


@dataclass(frozen=True, slots=True)
class Any:
    """At least one of `of` holds."""

    of: tuple[Filter, ...]


@dataclass(frozen=True, slots=True)
class Not:
    of: Filter


Filter = Label | All | Any | Not
EVERY = All()


def label(name: str, value: str) -> Label:
    return Label(name, "=", value)


def labels(wanted: Mapping[str, str]) -> All:
    """Every label has its value."""
    return All(tuple(label(name, value) for name, value in wanted.items()))


def only(of: Filter, name: str) -> str | None:
    """The one value that the label has wherever `of` holds, if it says so itself."""
    match of:
        case Label(op="=") if of.name == name:
            return of.value
        case All():
            return next((value for one in of.of if (value := only(one, name)) is not None), None)
    return None


def choose(of: Filter, compared: Callable[[Label], Chosen], size: int, depth: int = 0) -> Chosen:
    """For which of `size` series it holds; `compared` says it of one label.

    Raises:
        BadMessage: nested deeper than MAX_DEPTH.
    """
    if depth > MAX_DEPTH:
        raise BadMessage(f"conditions are nested deeper than {MAX_DEPTH}")
    match of:
        case Label():
            return compared(of)
        case Not():
            return ~choose(of.of, compared, size, depth + 1)
        case All():
            chosen = np.ones(size, bool)
            for one in of.of:
                chosen &= choose(one, compared, size, depth + 1)
        case Any():
            chosen = np.zeros(size, bool)
            for one in of.of:
                chosen |= choose(one, compared, size, depth + 1)
    return chosen
