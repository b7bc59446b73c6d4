"""Samples as they arrive: a row for all that an entity told at one time, and back."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from novacron_store.telemetry.batch import ARRIVALS, SAMPLES, Batch

_FEW = 4  # samples a row: with fewer on average, sorting them first makes fewer rows
_LISTS = {"metrics": "metric", "ids": "series", "starts": "start_ts", "numbers": "value"}


def arrivals(batch: Batch) -> pa.Table:
    """All samples of a batch as rows of batch.ARRIVALS, which are those of schema.ARRIVALS."""
    parts = [ARRIVALS.empty_table()]
    if rows := batch.tables.get("arrivals"):
        parts.append(rows)
    if samples := batch.tables.get("samples"):
        parts.append(gathered(samples))
    return pa.concat_tables(parts).unify_dictionaries()


def gathered(samples: pa.Table) -> pa.Table:
    """Samples (batch.SAMPLES) as rows, which hold what follows one another and is of one entity and
    time."""
    whole = samples.unify_dictionaries().combine_chunks()
    starts = _starts(whole)
    if len(starts) * _FEW > whole.num_rows:
        whole = whole.take(_order(whole))
        starts = _starts(whole)
    offsets = pa.array(np.append(starts, whole.num_rows).astype(np.int32))
    first = pa.array(starts)
    lists = [pa.ListArray.from_arrays(offsets, _column(whole, name)) for name in _LISTS.values()]
    heads = [_column(whole, name).take(first) for name in ("entity", "ts")]
    return pa.table([*heads, *lists], schema=ARRIVALS)


def scattered(rows: pa.Table) -> pa.Table:
    """Rows (batch.ARRIVALS) as samples (batch.SAMPLES) again."""
    whole = rows.unify_dictionaries().combine_chunks()
    lists = {samples: _column(whole, name) for name, samples in _LISTS.items()}
    sizes = lists["value"].value_lengths().to_numpy()
    row = pa.array(np.repeat(np.arange(whole.num_rows), sizes))
    columns = {name: _column(whole, name).take(row) for name in ("entity", "ts")}
    columns |= {name: column.flatten() for name, column in lists.items()}
    return pa.table([columns[name] for name in SAMPLES.names], schema=SAMPLES)


def _starts(samples: pa.Table) -> NDArray[np.int64]:
    """Where another entity or time begins."""
    entity, ts = _keys(samples)
    changes = (entity[1:] != entity[:-1]) | (ts[1:] != ts[:-1])
    return np.concatenate(([0], np.flatnonzero(changes) + 1))


def _order(samples: pa.Table) -> NDArray[np.int64]:
    entity, ts = _keys(samples)
    return np.lexsort((ts, entity))


def _keys(samples: pa.Table) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    entity = _column(samples, "entity").indices.to_numpy()
    return entity, _column(samples, "ts").cast(pa.int64()).to_numpy()


def _column(table: pa.Table, name: str) -> pa.Array:
    column = table[name]
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
