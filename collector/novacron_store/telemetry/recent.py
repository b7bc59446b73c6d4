"""Samples as they arrive: a row for all that an entity told at one time."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

_FEW = 4  # samples a row: with fewer on average, sorting them first makes fewer rows


def gathered(samples: pa.Table) -> pa.Table:
    """Samples (batch.SAMPLES) as rows of schema.RECENT, which hold what follows one another and is
    of one entity and time."""
    whole = samples.unify_dictionaries().combine_chunks()
    starts = _starts(whole)
    if len(starts) * _FEW > whole.num_rows:
        whole = whole.take(_order(whole))
        starts = _starts(whole)
    offsets = pa.array(np.append(starts, whole.num_rows).astype(np.int32))
    lists = {"metrics": "metric", "ids": "series", "starts": "start_ts", "numbers": "value"}
    first = pa.array(starts)
    return pa.table(
        {
            "entity": _column(whole, "entity").take(first),
            "ts": _column(whole, "ts").take(first),
            **{
                name: pa.ListArray.from_arrays(offsets, _column(whole, column))
                for name, column in lists.items()
            },
        }
    )


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


def _column(samples: pa.Table, name: str) -> pa.Array:
    column = samples[name]
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
