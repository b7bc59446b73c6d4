"""The functions a reader may call, by name: what computes from its arguments alone.

functions.txt and aggregates.txt list them. A function that is not listed is refused, so one that a
new ClickHouse brings stays refused until somebody has looked at it. Left out is whatever reaches
files, networks, dictionaries, other tables, settings, users, the server's state, or waits, and what
takes the square of its arguments' length (edit distances): the time limit does not end one call.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from typing import Any

# Not values(): the text of its structure may define a column as ALIAS of any function. VALUES, as
# standard SQL has it, is SQLStandardValues and takes no structure.
TABLE_FUNCTIONS = frozenset({"numbers", "SQLStandardValues", "generateSeries", "generate_series"})
HIGHER_ORDER = ("array", "map")  # what functions that take a function first are called
_SYNTAX = frozenset({"lambda", "exists", "notExists", "grouping"})  # written as functions in a tree
_COMBINATORS = (
    *("If", "Array", "Map", "State", "Merge", "ForEach", "Distinct", "OrDefault", "OrNull"),
    *("Resample", "ArgMin", "ArgMax", "SimpleState", "Null", "Tuple"),
)


def listed(file: str) -> frozenset[str]:
    return frozenset((resources.files(__package__) / file).read_text(encoding="utf-8").split())


def _lower(*names: frozenset[str]) -> frozenset[str]:
    return frozenset(name.lower() for name in frozenset().union(*names))


_AGGREGATES = _lower(listed("aggregates.txt"))
_CALLABLE = _AGGREGATES | _lower(listed("functions.txt"), TABLE_FUNCTIONS, _SYNTAX)


def allowed(name: str) -> bool:
    """Whether a reader may call `name`. Case does not matter: no two functions differ by it."""
    return name.lower() in _CALLABLE or _is_combined(name)


def passed(node: Mapping[str, Any]) -> str | None:
    """The bare name that a function which can take a function has in its place."""
    if node["type"] != "Function" or not node["name"].lower().startswith(HIGHER_ORDER):
        return None
    first = (node.get("arguments", {}).get("children") or [{}])[0]
    return str(first["name"]) if first.get("type") == "Identifier" else None


def _is_combined(name: str) -> bool:
    """Whether it is an aggregate function with suffixes: sumIf, quantilesStateArray."""
    return any(
        base.lower() in _AGGREGATES or _is_combined(base)
        for suffix in _COMBINATORS
        if (base := name.removesuffix(suffix)) != name
    )
