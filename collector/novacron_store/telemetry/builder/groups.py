"""Series by their labels: which belong together, and what they are together at each point."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from novacron_contract.errors import BadMessage
from novacron_store.telemetry.builder.expressions import Aggregate, How

Floats = NDArray[np.float64]


def groups(columns: Sequence[Sequence[str]], rows: int) -> tuple[NDArray[np.intp], list[int]]:
    """The group of each row, and the first row of each group; without columns there is one."""
    known: dict[tuple[str, ...], int] = {}
    first: list[int] = []
    group_of = np.zeros(rows, np.intp)
    for row in range(rows):
        key = tuple(column[row] for column in columns)
        group = known.setdefault(key, len(known))
        if group == len(first):
            first.append(row)
        group_of[row] = group
    return group_of, first


def aggregate(values: Floats, row_of: NDArray[np.intp], count: int, of: Aggregate) -> Floats:
    """What the rows of each group are together, at each point."""
    found = np.full((count, values.shape[1]), np.nan)
    for group in range(count):
        rows = values[row_of == group]
        some = (~np.isnan(rows)).any(axis=0)
        if some.any():
            found[group, some] = _TOGETHER[of.how](rows[:, some], of)
    return found


_TOGETHER: dict[How, Callable[[Floats, Aggregate], Any]] = {
    How.SUM: lambda rows, _: np.nansum(rows, axis=0),
    How.AVG: lambda rows, _: np.nanmean(rows, axis=0),
    How.MIN: lambda rows, _: np.nanmin(rows, axis=0),
    How.MAX: lambda rows, _: np.nanmax(rows, axis=0),
    How.COUNT: lambda rows, _: (~np.isnan(rows)).sum(axis=0),
    How.STDDEV: lambda rows, _: np.nanstd(rows, axis=0),
    How.QUANTILE: lambda rows, of: np.nanquantile(rows, of.argument, axis=0),
}


def paired(
    left: Sequence[Mapping[str, str]],
    right: Sequence[Mapping[str, str]],
    on: Sequence[str] | None,
) -> list[tuple[int, int]]:
    """Rows of both sides with equal labels.

    Raises:
        BadMessage: several rows of a side have the same.
    """

    def keyed(side: Sequence[Mapping[str, str]]) -> dict[tuple[tuple[str, str], ...], int]:
        found: dict[tuple[tuple[str, str], ...], int] = {}
        for row, labels in enumerate(side):
            names = sorted(labels) if on is None else on
            key = tuple((name, labels.get(name, "")) for name in names)
            if key in found:
                raise BadMessage(
                    f"several series have {dict(key)}: aggregate them, or compare more labels"
                )
            found[key] = row
        return found

    mine, theirs = keyed(left), keyed(right)
    return [(row, theirs[key]) for key, row in mine.items() if key in theirs]


_OPERATORS: dict[str, Callable[[Floats, Floats], Floats]] = {
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
    "/": np.divide,
}


def arithmetic(op: str, left: Floats, right: Floats) -> Floats:
    """A division by zero is a gap."""
    with np.errstate(divide="ignore", invalid="ignore"):
        found = _OPERATORS[op](left, right)
    return np.where(np.isfinite(found), found, np.nan)


def leading(values: Floats, row_of: NDArray[np.intp], of: Aggregate) -> Floats:
    """The largest or smallest `argument` of each group at each point; the others become gaps."""
    kept = np.full_like(values, np.nan)
    ranked = -values if of.how is How.TOP else values
    count = int(of.argument)
    for group in np.unique(row_of):
        rows = np.flatnonzero(row_of == group)
        order = np.argsort(ranked[rows], axis=0, kind="stable")[:count]  # NaN comes last
        at = rows[order]
        columns = np.arange(values.shape[1])
        kept[at, columns] = values[at, columns]
    return kept
