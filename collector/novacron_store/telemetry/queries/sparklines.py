"""One small line per machine: a metric over some hours, for all of them at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from clickhouse_connect.driver.client import Client

from novacron_store.telemetry.client import contract_errors
from novacron_store.telemetry.queries.buckets import (
    Selection,
    buckets_sql,
    grid,
    metric_info,
    progress,
)


def sparklines(
    client: Client,
    metric: str,
    start: datetime,
    end: datetime,
    points: int = 72,
    entities: Sequence[str] | None = None,
    filters: Mapping[str, str] | None = None,
) -> dict[str, list[float | None]]:
    """By entity, `points` or fewer values up to `end`, None where nothing was measured.

    A gauge is averaged; a counter is a rate per second, summed over the entity's series.

    Raises:
        NotFound: no such metric.
        BadMessage: an empty range, or no sensible number of points.
    """
    with contract_errors():
        known = progress(client)
        where = grid(start, end, points, known)
        wanted = None if entities is None else tuple(entities)
        selection = Selection(metric_info(client, metric), wanted, filters)
        value = "sum(grown) / sum(seconds)" if selection.metric.is_counter else _MEAN
        rows = client.query(
            f"SELECT entity, groupArray(slot), groupArray(value) FROM ("
            f"SELECT entity, slot, {value} AS value "
            f"FROM ({buckets_sql(selection, where, known, 'entity')}) "
            f"GROUP BY entity, slot HAVING isFinite(value)) GROUP BY entity",
            parameters=selection.parameters,
        ).result_rows
    return {entity: _dense(slots, values, where.slots) for entity, slots, values in rows}


_MEAN = "sum(total) / sum(samples)"


def _dense(slots: Sequence[int], values: Sequence[float], length: int) -> list[float | None]:
    line: list[float | None] = [None] * length
    for slot, value in zip(slots, values, strict=True):
        line[slot] = value
    return line
