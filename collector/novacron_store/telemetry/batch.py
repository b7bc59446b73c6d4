"""What is written to the store at one time, as Arrow tables. Schemas equal the tables' columns.

Identity of a series: `series` = 64-bit hash of (entity, identifying resource, scope, metric name,
unit, kind, temporality, monotonic, attributes). A sample is (series, ts): stored twice, it counts
once. Times are UTC milliseconds.
"""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

_TS = pa.timestamp("ms", "UTC")
_NAME = pa.dictionary(pa.int32(), pa.string())
_LABELS = pa.map_(pa.string(), pa.string())
_KEY = [("metric", _NAME), ("entity", _NAME), ("series", pa.uint64()), ("ts", _TS)]

# `start_ts` is 1970-01-01 where the sender gave none. `value` is NaN where the series ends
# (no recorded value): stored as staleness, never aggregated.
SAMPLES = pa.schema([*_KEY, ("start_ts", _TS), ("value", pa.float64())])

# Samples in a shorter form, a row for what an entity told at one time. The lists are parallel, and
# never empty: metric, series, start_ts and value of each sample.
ARRIVALS = pa.schema(
    [
        ("entity", _NAME),
        ("ts", _TS),
        ("metrics", pa.list_(_NAME)),
        ("ids", pa.list_(pa.uint64())),
        ("starts", pa.list_(_TS)),
        ("numbers", pa.list_(pa.float64())),
    ]
)

# `count` points; `sum`, `min`, `max` are null where the sender gave none; `buckets` has one count
# more than `bounds`, or both are empty. `no_value` marks the end of the series, as NaN does above.
HISTOGRAMS = pa.schema(
    [
        *_KEY,
        ("start_ts", _TS),
        ("count", pa.uint64()),
        ("sum", pa.float64()),
        ("min", pa.float64()),
        ("max", pa.float64()),
        ("bounds", pa.list_(pa.float64())),
        ("buckets", pa.list_(pa.uint64())),
        ("no_value", pa.bool_()),
    ]
)

EXPONENTIAL_HISTOGRAMS = pa.schema(
    [
        *_KEY,
        ("start_ts", _TS),
        ("count", pa.uint64()),
        ("sum", pa.float64()),
        ("min", pa.float64()),
        ("max", pa.float64()),
        ("scale", pa.int32()),
        ("zero_count", pa.uint64()),
        ("zero_threshold", pa.float64()),
        ("positive_offset", pa.int32()),
        ("positive_buckets", pa.list_(pa.uint64())),
        ("negative_offset", pa.int32()),
        ("negative_buckets", pa.list_(pa.uint64())),
        ("no_value", pa.bool_()),
    ]
)

SUMMARIES = pa.schema(
    [
        *_KEY,
        ("start_ts", _TS),
        ("count", pa.uint64()),
        ("sum", pa.float64()),
        ("quantiles", pa.list_(pa.float64())),
        ("values", pa.list_(pa.float64())),
        ("no_value", pa.bool_()),
    ]
)

# `ts` is the exemplar's own time; ids are lower-case hex, empty where absent.
EXEMPLARS = pa.schema(
    [
        *_KEY,
        ("value", pa.float64()),
        ("trace_id", pa.string()),
        ("span_id", pa.string()),
        ("attributes", _LABELS),
    ]
)

# Written once per series (again after a restart: equal rows collapse). Attribute values are text;
# `attribute_types` has the OTLP type of each that is not a string: int, double, bool, bytes
# (base64), array and kvlist (JSON).
SERIES = pa.schema(
    [
        ("metric", _NAME),
        ("entity", _NAME),
        ("series", pa.uint64()),
        ("kind", pa.string()),  # gauge | sum | histogram | exponential_histogram | summary
        ("temporality", pa.string()),  # unspecified | delta | cumulative
        ("monotonic", pa.bool_()),
        ("unit", pa.string()),
        ("attributes", _LABELS),
        ("attribute_types", _LABELS),
        ("scope", pa.string()),
        ("first_seen", _TS),
    ]
)

# What is known of an entity: written when first seen and whenever its resource changes.
ENTITIES = pa.schema(
    [
        ("entity", pa.string()),
        ("entity_type", pa.string()),  # vm | host | service | other
        ("resource", _LABELS),
        ("resource_types", _LABELS),
        ("seen", _TS),
    ]
)

METRICS = pa.schema(
    [
        ("metric", pa.string()),
        ("kind", pa.string()),
        ("temporality", pa.string()),
        ("monotonic", pa.bool_()),
        ("unit", pa.string()),
        ("description", pa.string()),
        ("seen", _TS),
    ]
)


@dataclass(frozen=True, slots=True)
class Batch:
    """Tables of one write, by table name; a table that is absent has no rows."""

    tables: dict[str, pa.Table]

    @property
    def points(self) -> int:
        rows = sum(t.num_rows for name, t in self.tables.items() if name in POINT_TABLES)
        arrivals = self.tables.get("arrivals")
        listed = arrivals["numbers"].chunks if arrivals is not None else ()
        return int(rows + sum(len(chunk.flatten()) for chunk in listed))


SCHEMAS: dict[str, pa.Schema] = {
    "samples": SAMPLES,
    "arrivals": ARRIVALS,
    "histograms": HISTOGRAMS,
    "exponential_histograms": EXPONENTIAL_HISTOGRAMS,
    "summaries": SUMMARIES,
    "exemplars": EXEMPLARS,
    "series": SERIES,
    "entities": ENTITIES,
    "metrics": METRICS,
}
POINT_TABLES = frozenset({"samples", "histograms", "exponential_histograms", "summaries"})
