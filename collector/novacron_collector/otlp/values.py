"""Per kind of metric: the columns of its table, and which of its points cannot be stored."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from novacron_collector.otlp.columns import Codes, list_sizes, parents, per_list
from novacron_collector.otlp.decoded import OddMessageError
from novacron_collector.otlp.limits import Reason, Window
from novacron_collector.otlp.plain import EXACT, NO_RECORDED_VALUE

# 0: the point is stored; the lower the code, the more telling the reason.
REASON_CODES: dict[Reason | None, int] = {None: 0} | {r: n for n, r in enumerate(Reason, 1)}

_Flags = NDArray[np.bool_]


def millis(rows: pa.StructArray, field: str) -> Codes:
    times: Codes = (_numpy(rows.field(field)) // np.uint64(1_000_000)).astype(np.int64)
    return times


def first_reason(*columns: Codes) -> Codes:
    """Of several reasons for each point the one that is named first."""
    return reduce(lambda late, early: np.where(early > 0, early, late), reversed(columns))


def time_reasons(ts: Codes, window: Window) -> Codes:
    none, new, old = (REASON_CODES[r] for r in (Reason.NO_TIME, Reason.TOO_NEW, Reason.TOO_OLD))
    late = np.where(ts > window.newest, new, np.where(ts < window.oldest, old, 0))
    return np.where(ts <= 0, none, late)


def value_reasons(kind: str, rows: pa.StructArray, max_buckets: int) -> Codes:
    """A point that only says that its series ends has no value to be wrong."""
    return np.where(_ended(rows), 0, _REASONS_OF[kind](rows, max_buckets))


def rounded(kind: str, rows: pa.StructArray) -> _Flags | None:
    """Which integers lose digits, samples being Float64; None: none of them."""
    if kind not in ("gauge", "sum"):
        return None
    integer = rows.field("as_int")
    span = pc.min_max(integer).as_py()
    if span["min"] is None or -EXACT <= span["min"] <= span["max"] <= EXACT:
        return None
    number = _numpy(pc.fill_null(integer, 0))
    return ((number > EXACT) | (number < -EXACT)) & ~_ended(rows)


def columns(kind: str, rows: pa.StructArray) -> list[pa.Array]:
    """What follows key and times in the table of this kind."""
    return _COLUMNS_OF[kind](rows)


def _numbers(rows: pa.StructArray) -> list[pa.Array]:
    value = _numpy(pc.fill_null(_number(rows), 0.0))
    return [pa.array(np.where(_ended(rows), np.nan, value))]


def _histograms(rows: pa.StructArray) -> list[pa.Array]:
    fields = ("count", "sum", "min", "max", "explicit_bounds", "bucket_counts")
    return [*(rows.field(name) for name in fields), pa.array(_ended(rows))]


def _exponential(rows: pa.StructArray) -> list[pa.Array]:
    fields = ("count", "sum", "min", "max", "scale", "zero_count", "zero_threshold")
    sides = [rows.field("positive"), rows.field("negative")]
    buckets = [side.field(name) for side in sides for name in ("offset", "bucket_counts")]
    return [*(rows.field(name) for name in fields), *buckets, pa.array(_ended(rows))]


def _summaries(rows: pa.StructArray) -> list[pa.Array]:
    quantiles = rows.field("quantile_values")
    items = quantiles.flatten()
    offsets = pc.subtract(quantiles.offsets, quantiles.offsets[0])
    lists = [pa.ListArray.from_arrays(offsets, items.field(name)) for name in ("quantile", "value")]
    return [rows.field("count"), rows.field("sum"), *lists, pa.array(_ended(rows))]


def _number_reasons(rows: pa.StructArray, max_buckets: int) -> Codes:
    double, integer = rows.field("as_double"), rows.field("as_int")
    if double.null_count + integer.null_count < len(rows):
        both = pc.and_(double.is_valid(), integer.is_valid())
        if pc.any(both).as_py():
            raise OddMessageError("a point with two values: the last one counts")
    value = _number(rows)
    infinite = np.isinf(_numpy(pc.fill_null(value, 0.0))) * REASON_CODES[Reason.INFINITE]
    return np.where(_numpy(value.is_null()), REASON_CODES[Reason.NO_VALUE], infinite)


def _histogram_reasons(rows: pa.StructArray, max_buckets: int) -> Codes:
    bounds, buckets = rows.field("explicit_bounds"), rows.field("bucket_counts")
    sizes, counts = list_sizes(bounds), list_sizes(buckets)
    fits = (counts == sizes + 1) | ((counts == 0) & (sizes == 0))
    items, of_list = _numpy(bounds.flatten()), parents(bounds)
    falls = np.zeros(len(items), np.bool_)
    if len(items) > 1:
        falls[1:] = (of_list[1:] == of_list[:-1]) & ~(items[1:] > items[:-1])
    wrong = per_list(falls | ~np.isfinite(items), bounds)
    bad = (~fits | wrong | (counts > max_buckets)) * REASON_CODES[Reason.BAD_BUCKETS]
    return np.where(_infinite(rows, "sum", "min", "max"), REASON_CODES[Reason.INFINITE], bad)


def _exponential_reasons(rows: pa.StructArray, max_buckets: int) -> Codes:
    sides = [list_sizes(rows.field(s).field("bucket_counts")) for s in ("positive", "negative")]
    bad = (np.maximum(*sides) > max_buckets) * REASON_CODES[Reason.BAD_BUCKETS]
    infinite = _infinite(rows, "sum", "min", "max", "zero_threshold")
    return np.where(infinite, REASON_CODES[Reason.INFINITE], bad)


def _summary_reasons(rows: pa.StructArray, max_buckets: int) -> Codes:
    lists = rows.field("quantile_values")
    items = lists.flatten()
    infinite = np.isinf(_numpy(items.field("quantile"))) | np.isinf(_numpy(items.field("value")))
    bad = (list_sizes(lists) > max_buckets) * REASON_CODES[Reason.BAD_BUCKETS]
    either = per_list(infinite, lists) | _infinite(rows, "sum")
    return np.where(either, REASON_CODES[Reason.INFINITE], bad)


def _number(rows: pa.StructArray) -> pa.Array:
    """Integers become Float64: see `rounded`."""
    return pc.coalesce(rows.field("as_double"), rows.field("as_int").cast(pa.float64(), safe=False))


def _ended(rows: pa.StructArray) -> _Flags:
    return np.asarray(_numpy(rows.field("flags")) & NO_RECORDED_VALUE > 0)


def _infinite(rows: pa.StructArray, *fields: str) -> _Flags:
    each = [np.isinf(_numpy(pc.fill_null(rows.field(field), 0.0))) for field in fields]
    return np.asarray(np.logical_or.reduce(each))


def _numpy(values: pa.Array) -> NDArray[Any]:
    return np.asarray(values.to_numpy(zero_copy_only=False))


_COLUMNS_OF: dict[str, Callable[[pa.StructArray], list[pa.Array]]] = {
    "gauge": _numbers,
    "sum": _numbers,
    "histogram": _histograms,
    "exponential_histogram": _exponential,
    "summary": _summaries,
}
_REASONS_OF: dict[str, Callable[[pa.StructArray, int], Codes]] = {
    "gauge": _number_reasons,
    "sum": _number_reasons,
    "histogram": _histogram_reasons,
    "exponential_histogram": _exponential_reasons,
    "summary": _summary_reasons,
}
