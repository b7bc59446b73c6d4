"""Quantiles of a histogram over time, from the counts of its buckets.

What was measured in a step is the difference of two samples of a cumulative histogram; steps of
several series add up, as counts do and quantiles do not. Histograms are not rolled up: samples are
all there is, for as long as they are kept.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from clickhouse_connect.driver.client import Client

from novacron_store.telemetry import schema
from novacron_store.telemetry.client import contract_errors
from novacron_store.telemetry.distributions import of_explicit
from novacron_store.telemetry.metric import metric_info
from novacron_store.telemetry.progress import Begins, Progress, Resolution
from novacron_store.telemetry.queries.buckets import LOOK_BACK_S, Grid, Selection, grid, slot
from novacron_store.telemetry.queries.charts import Chart, ChartQuery, Line, with_gaps
from novacron_store.telemetry.samples import UNKNOWN

QUANTILE = "quantile"  # the attribute that tells the lines apart
_SAMPLES_ALONE = Progress(UNKNOWN, Begins(0, 0, 0))


def quantiles(client: Client, query: ChartQuery, wanted: Sequence[float]) -> Chart:
    """A line for each of `wanted` (0 to 1), over all series that `query` selects.

    Raises:
        NotFound: no such metric.
        BadMessage: an empty range, or no sensible number of points.
    """
    with contract_errors():
        where = grid(query.start, query.end, query.max_points, _SAMPLES_ALONE)
        info = metric_info(client, query.metric)
        selection = Selection(info, (query.entity,), query.filters)
        rows = client.query(_sql(selection, where), parameters=selection.parameters).result_rows
    lines = []
    for share in wanted:
        values = [quantile(bounds, counts, share) for _, bounds, counts in rows]
        ts, line = with_gaps([at for at, _, _ in rows], values, where)
        lines.append(Line({QUANTILE: f"{share:g}"}, ts, line))
    kept = [line for line in lines if line.ts]
    return Chart(info.metric, info.unit, "histogram", Resolution.RAW, where.step, kept)


def quantile(bounds: Sequence[float], counts: Sequence[int], share: float) -> float:
    """The value that `share` of the measurements do not exceed."""
    return float(of_explicit(bounds, np.array([counts], np.int64), share)[0])


def _sql(selection: Selection, where: Grid) -> str:
    """Rows of (at, bounds, counts), one per step in which something was measured."""
    before, known = "if(follows, earlier[place], 0)", "known"
    if selection.metric.temporality == "delta":
        before, known = "0", "true"
    return f"""SELECT max(now) AS at, bounds, sumForEach(grown) AS counts
    FROM (
        SELECT {slot("ts", where)}, now, bounds, arrayMap(
            (n, place) -> toInt64(n) - toInt64({before}),
            buckets, arrayEnumerate(buckets)) AS grown
        FROM ({_steps(selection, where)})
        WHERE ts >= toDateTime64({where.start}, 3, 'UTC') AND {known}
    )
    GROUP BY slot, bounds HAVING arraySum(counts) > 0 AND notEmpty(bounds)
    ORDER BY at"""


def _steps(selection: Selection, where: Grid) -> str:
    """Each sample with the one before it. `follows`: it goes on from there, nothing restarted."""
    start = where.start - LOOK_BACK_S
    return f"""SELECT series, ts, toUnixTimestamp64Milli(ts) AS now, bounds, buckets,
        lagInFrame(now, 1, 0) OVER steps > 0 OR kept_since >= {where.start} AS known,
        toUnixTimestamp(start_ts) AS kept_since,
        lagInFrame(buckets) OVER steps AS earlier,
        lagInFrame(start_ts) OVER steps = start_ts AND lagInFrame(bounds) OVER steps = bounds
            AND lagInFrame(count) OVER steps <= count AS follows
    FROM {schema.HISTOGRAMS} FINAL
    WHERE {selection.condition} AND NOT no_value
        AND toStartOfHour(ts) >= toStartOfHour(toDateTime({start}, 'UTC'))
        AND toStartOfHour(ts) <= toDateTime({where.end}, 'UTC')
        AND ts >= toDateTime64({start}, 3, 'UTC') AND ts < toDateTime64({where.end}, 3, 'UTC')
    WINDOW steps AS (PARTITION BY series ORDER BY ts ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)"""
