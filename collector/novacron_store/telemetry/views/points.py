"""Points of every kind as they were sent, each once."""

from __future__ import annotations

from novacron_store.telemetry import samples, schema
from novacron_store.telemetry.views.view import HOUR, LABELS, NAME, OPTIONAL, TS, stored

KEY = (("metric", NAME), ("entity", NAME), ("series", "UInt64"), ("ts", TS))
POINT = (*KEY, ("start_ts", TS))
_DISTRIBUTION = (
    ("count", "UInt64", "number of measurements"),
    ("sum", OPTIONAL, "their sum, NULL where the sender gave none"),
)
_EXTREMES = (
    ("min", OPTIONAL, "the smallest, NULL where the sender gave none"),
    ("max", OPTIONAL, "the largest, NULL where the sender gave none"),
)

POINTS = (
    stored(
        "samples",
        samples.once().all,
        "Every stored sample, once; the attributes of a series are in `series`",
        *POINT,
        ("value", "Float64", "the value; a counter as it was sent"),
        HOUR,
        where="NOT isNaN(value)",
    ),
    stored(
        "series_ends",
        samples.once().all,
        "When a sender said that a series has no value any more",
        *KEY,
        where="isNaN(value)",
    ),
    stored(
        "histograms",
        f"{schema.HISTOGRAMS} FINAL",
        "Points of histograms with explicit bounds",
        *POINT,
        *_DISTRIBUTION,
        *_EXTREMES,
        ("bounds", "Array(Float64)", "upper bounds of all buckets but the last"),
        ("buckets", "Array(UInt64)", "measurements in each bucket, one more than bounds"),
        where="NOT no_value",
    ),
    stored(
        "exponential_histograms",
        f"{schema.EXPONENTIAL_HISTOGRAMS} FINAL",
        "Points of exponential histograms",
        *POINT,
        *_DISTRIBUTION,
        *_EXTREMES,
        ("scale", "Int32", "the base of the buckets is 2^(2^-scale)"),
        ("zero_count", "UInt64", "measurements that count as zero"),
        ("zero_threshold", "Float64", "up to which absolute value"),
        ("positive_offset", "Int32", "index of the first positive bucket"),
        ("positive_buckets", "Array(UInt64)", "measurements in each positive bucket"),
        ("negative_offset", "Int32", "index of the first negative bucket"),
        ("negative_buckets", "Array(UInt64)", "measurements in each negative bucket"),
        where="NOT no_value",
    ),
    stored(
        "summaries",
        f"{schema.SUMMARIES} FINAL",
        "Points of summaries: quantiles a sender computed itself",
        *POINT,
        *_DISTRIBUTION,
        ("quantiles", "Array(Float64)", "0.5 is the median"),
        ("values", "Array(Float64)", "the value of each quantile"),
        where="NOT no_value",
    ),
    stored(
        "exemplars",
        f"{schema.EXEMPLARS} FINAL",
        "Single measurements with the trace they belong to",
        *KEY,
        ("value", "Float64", "the measurement"),
        ("trace_id", "String", "hexadecimal, empty where there is none"),
        ("span_id", "String", "hexadecimal, empty where there is none"),
        ("attributes", LABELS, "what the point itself left out"),
    ),
)
