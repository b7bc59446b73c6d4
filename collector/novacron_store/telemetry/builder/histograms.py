"""Quantiles of all that histograms measured in windows, from the counts of their buckets.

What was measured is what a cumulative histogram grew by from one sample to the next, counted where
the later one is, and a delta histogram as it is. Counts add up, over series and over slots, where
quantiles do not. Histograms are not rolled up: samples are all there is.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from novacron_contract.errors import BadMessage, TooLarge
from novacron_store.telemetry import schema
from novacron_store.telemetry.builder import exponential
from novacron_store.telemetry.builder.grid import Slots
from novacron_store.telemetry.builder.slid import Slid, nested
from novacron_store.telemetry.builder.steps import Steps
from novacron_store.telemetry.builder.unpacked import Asked
from novacron_store.telemetry.builder.wanted import Wanted
from novacron_store.telemetry.distributions import Counts, Floats, of_explicit
from novacron_store.telemetry.metric import MetricInfo

KINDS = ("histogram", "exponential_histogram")
MAX_LAYOUTS = 100  # different bounds, or scales, that are put together in one row
_CELLS = 4_000_000  # counts at once


def require_histograms(metrics: Sequence[MetricInfo]) -> None:
    """
    Raises:
        BadMessage: one of them is something else.
    """
    for info in metrics:
        if info.kind not in KINDS:
            raise BadMessage(
                f"{info.metric} is a {info.kind}, no histogram: ask for a quantile over windows, "
                "or aggregate series to a quantile"
            )


def require_numbers(metrics: Sequence[MetricInfo]) -> None:
    """
    Raises:
        BadMessage: one of them has no single values.
    """
    for info in metrics:
        if info.kind in KINDS:
            raise BadMessage(
                f"{info.metric} is a histogram, it has no single values: ask for its "
                "histogram_quantile"
            )
        if info.kind == "summary":
            raise BadMessage(
                f"{info.metric} is a summary, it has no single values: ask for them in SQL, of "
                "the view summaries"
            )


def quantiles(ask: Asked, wanted: Wanted, window: int, most: int) -> Floats:
    """Of each row at each point; `window` in milliseconds, `most` are the counts that may be read.

    Raises:
        TooLarge: more than that, or more than MAX_LAYOUTS.
        BadMessage: a window has histograms of both kinds.
    """
    steps = Steps(wanted, window)
    points = Slid.points(wanted.slots)
    found = np.full((wanted.rows, points), np.nan)
    plain, grown = _sizes(ask, steps, most)
    if plain:
        told = ask(_sql(steps), steps.parameters)
        for row, layouts in _layouts(told).items():
            found[row] = _row(layouts, wanted.slots, wanted.share)
    if grown:
        others = exponential.quantiles(ask, steps, MAX_LAYOUTS)
        if (~np.isnan(found) & ~np.isnan(others)).any():
            raise BadMessage(
                f"{', '.join(wanted.metrics)[:200]}: some series are histograms with bounds, some "
                "exponential, which do not add up: tell them apart by a label, such as entity"
            )
        found = np.where(np.isnan(found), others, found)
    return found


def _sizes(ask: Asked, steps: Steps, most: int) -> tuple[int, int]:
    """How many counts are there to read, of either kind."""
    sizes = ask(
        f"""SELECT (SELECT sum(length(buckets)) FROM {schema.HISTOGRAMS}
            WHERE {steps.condition}) AS plain,
        (SELECT sum(1 + length(positive_buckets) + length(negative_buckets))
            FROM {schema.EXPONENTIAL_HISTOGRAMS} WHERE {steps.condition}) AS grown""",
        steps.parameters,
    ).to_pylist()[0]
    plain, grown = sizes["plain"] or 0, sizes["grown"] or 0
    if plain + grown > most:
        raise TooLarge(
            f"{plain + grown} counts of histograms: expected {most} or fewer; ask for some of the "
            "series by their labels, or a shorter time"
        )
    return plain, grown


def _sql(steps: Steps) -> str:
    """Rows of (row, bounds, slots, counts): counts of a slot one after the other."""
    follows = """lagInFrame(bounds) OVER steps = bounds
            AND arrayAll((n, place) -> n >= earlier[place], buckets, arrayEnumerate(buckets))"""
    columns = "bounds, buckets, lagInFrame(buckets) OVER steps AS earlier"
    return f"""SELECT row, bounds, groupArray(slot) AS slots, groupArray(counts) AS counts
    FROM (
        SELECT {steps.row} AS row, bounds, {steps.slot} AS slot, sumForEach(grown) AS counts
        FROM (
            SELECT series, now, bounds, arrayMap(
                (n, place) -> toInt64(n) - if(follows, toInt64(earlier[place]), 0),
                buckets, arrayEnumerate(buckets)) AS grown
            FROM ({steps.of(schema.HISTOGRAMS, columns, follows)})
            WHERE {steps.inside} AND notEmpty(bounds)
        )
        GROUP BY row, bounds, slot HAVING arraySum(counts) > 0
    )
    GROUP BY row, bounds"""


@dataclass(frozen=True, slots=True)
class _Layout:
    """What was counted with the same bounds."""

    bounds: tuple[float, ...]
    slots: NDArray[np.int64]
    counts: Counts  # of (slots, buckets)


def _layouts(told: pa.Table) -> dict[int, list[_Layout]]:
    """By row.

    Raises:
        TooLarge: a row has more than MAX_LAYOUTS.
    """
    found: defaultdict[int, list[_Layout]] = defaultdict(list)
    for place, row in enumerate(told["row"].to_pylist()):
        if row < 0:  # a series that came since the index was asked
            continue
        bounds = tuple(told["bounds"][place].as_py())
        slots = nested(told["slots"], place)
        counts = nested(told["counts"], place).reshape(len(slots), len(bounds) + 1)
        order = np.argsort(slots)
        found[row].append(_Layout(bounds, slots[order], counts[order]))
        if len(found[row]) > MAX_LAYOUTS:
            raise TooLarge(
                f"histograms with more than {MAX_LAYOUTS} different bounds are not added up: tell "
                "them apart by labels"
            )
    return found


def _row(layouts: list[_Layout], slots: Slots, share: float) -> Floats:
    """Its quantiles: of windows that have the same layouts together."""
    slid = [Slid.of(layout.slots, layout.counts, slots) for layout in layouts]
    there = np.array([one.there for one in slid])
    found = np.full(there.shape[1], np.nan)
    kinds, kind_of = np.unique(there, axis=1, return_inverse=True)
    for kind, mixed in enumerate(kinds.T):
        points = np.flatnonzero(np.ravel(kind_of) == kind)
        mine = np.flatnonzero(mixed)
        common = _common([layouts[n].bounds for n in mine])
        if common:
            some = max(1, _CELLS // max(len(layouts[n].bounds) + 1 for n in mine))
            for part in np.split(points, range(some, len(points), some)):
                counts = sum(_between(layouts[n].bounds, common, slid[n].at(part)) for n in mine)
                found[part] = of_explicit(common, np.asarray(counts), share)
    return found


def _common(every: Sequence[Sequence[float]]) -> list[float]:
    """The bounds that all have: of these, and of no others, it is known what lies below."""
    return sorted(set(every[0]).intersection(*every[1:])) if every else []


def _between(bounds: Sequence[float], common: Sequence[float], counts: Counts) -> Counts:
    """Counts between the common bounds, which are some of `bounds`."""
    if len(common) == len(bounds):
        return counts
    places: Any = [*np.searchsorted(bounds, common), len(bounds)]
    return np.diff(np.cumsum(counts, axis=1)[:, places], axis=1, prepend=0)
