"""Every metric with names and attributes: as sampled, now, and in buckets."""

from __future__ import annotations

from novacron_store.telemetry import buckets, samples
from novacron_store.telemetry.views.view import HOUR, LABELS, NAME, TS, View

_NAMED = "LEFT ANY JOIN (SELECT entity, name FROM entities) AS e USING (entity)"
_LABELLED = (
    "LEFT ANY JOIN (SELECT metric, entity, series, attributes, unit FROM series) AS l "
    "USING (metric, entity, series)"
)
_PERSON = (("metric", NAME), ("entity", NAME), ("name", "String"), ("attributes", LABELS))


def _buckets(
    name: str, relation: str, step: str, seconds: int, *more: tuple[str, str, str]
) -> View:
    quantiles = ", finalizeAggregation(sketch) AS quantiles" if more else ""
    return View(
        name,
        f"Every series in buckets of {step}; newest bucket some minutes after its end",
        (
            *_PERSON,
            ("unit", "String"),
            ("t", "DateTime('UTC')"),
            ("count", "UInt32", "samples in the bucket"),
            ("min", "Float64", "the smallest"),
            ("avg", "Float64", "the mean"),
            ("max", "Float64", "the largest"),
            ("sum", "Float64", "their sum"),
            ("first", "Float64", "the first"),
            ("last", "Float64", "the last"),
            ("increase", "Float64", "growth of a counter, restarts handled; 0 for other kinds"),
            ("rate", "Float64", "increase per second"),
            *more,
        ),
        f"""SELECT metric, entity, e.name AS name, l.attributes AS attributes, l.unit AS unit,
    t, count, min, sum / count AS avg, max, sum, first, last, increase,
    increase / {seconds} AS rate{", quantiles[1] AS p50, quantiles[3] AS p95" if more else ""}
FROM (
    SELECT metric, entity, series, t, count, min, max, sum, first, last, increase{quantiles}
    FROM {relation}
) AS b
{_LABELLED}
{_NAMED}""",
    )


METRICS = (
    View(
        "metrics_raw",
        "Every sample with its attributes and the entity's name",
        (*_PERSON, ("unit", "String"), ("ts", TS), ("value", "Float64", "the value as sent"), HOUR),
        f"""SELECT metric, entity, e.name AS name, l.attributes AS attributes, l.unit AS unit,
    ts, value, hour
FROM samples AS s
{_LABELLED}
{_NAMED}""",
    ),
    View(
        "metrics_now",
        "The newest value of every series, of those that had one in the last 15 minutes",
        (*_PERSON, ("unit", "String"), ("ts", TS), ("value", "Float64", "the newest value")),
        f"""SELECT metric, entity, e.name AS name, l.attributes AS attributes, l.unit AS unit,
    newest AS ts, value
FROM (
    SELECT metric, entity, series, max(ts) AS newest, minArgMax(s.value, ts) AS value
    FROM {samples.as_stored().since("now64(3) - INTERVAL 15 MINUTE")} AS s
    WHERE ts > now64(3) - INTERVAL 15 MINUTE AND NOT isNaN(s.value)
    GROUP BY metric, entity, series
) AS n
{_LABELLED}
{_NAMED}""",
    ),
    _buckets("metrics_5m", buckets.five_minutes(), "5 minutes", 300),
    _buckets(
        "metrics_1h",
        buckets.HOURS,
        "one hour",
        3600,
        ("p50", "Float64", "median, within 1 %; not of counters"),
        ("p95", "Float64", "95th percentile, within 1 %; not of counters"),
    ),
)
