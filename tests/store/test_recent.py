"""Samples become rows for all that an entity told at one time, and none is lost on the way."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from novacron_store.telemetry.batch import ARRIVALS, SAMPLES, Batch
from novacron_store.telemetry.recent import arrivals, gathered, scattered

_Point = tuple[str, str, int, int, int, float]  # metric, entity, series, ts, start_ts, value
_POINTS = st.lists(
    st.tuples(
        st.sampled_from(["heat", "power"]),
        st.sampled_from(["vm-1", "vm-2", "<vm>"]),
        st.integers(0, 2**64 - 1),
        st.integers(0, 5),
        st.integers(0, 5),
        st.floats(allow_nan=False),
    ),
    min_size=1,
    max_size=40,
)


def _table(points: list[_Point], pieces: int) -> pa.Table:
    """As several frames of the log are put together: in chunks, each with a dictionary."""
    size = -(-len(points) // pieces)
    parts = [points[at : at + size] for at in range(0, len(points), size)]
    return pa.concat_tables(
        [
            pa.table(
                [
                    pa.array(c, f.type)
                    for c, f in zip(zip(*part, strict=True), SAMPLES, strict=True)
                ],
                schema=SAMPLES,
            )
            for part in parts
        ]
    )


def _points(rows: list[dict[str, Any]]) -> Counter[tuple[Any, ...]]:
    return Counter(
        (metric, row["entity"], series, row["ts"], start, value)
        for row in rows
        for metric, series, start, value in zip(
            row["metrics"], row["ids"], row["starts"], row["numbers"], strict=True
        )
    )


@given(_POINTS, st.integers(1, 4))
def test_every_sample_is_in_one_row_of_its_entity_and_time(
    points: list[_Point], pieces: int
) -> None:
    table = _table(points, pieces)

    rows = gathered(table).to_pylist()

    sent = Counter(tuple(row.values()) for row in table.to_pylist())
    assert _points(rows) == sent
    assert all(row["numbers"] for row in rows)


@given(_POINTS, st.integers(1, 4), st.integers(0, 40))
def test_rows_and_samples_become_rows_and_those_the_samples_again(
    points: list[_Point], pieces: int, cut: int
) -> None:
    table = _table(points, pieces)
    rows = gathered(table)
    batch = Batch({"arrivals": rows.slice(min(cut, rows.num_rows)), "samples": table})

    every = arrivals(batch)

    assert every.schema.equals(ARRIVALS)
    samples = Counter(tuple(row.values()) for row in scattered(every).to_pylist())
    left = Counter(tuple(row.values()) for row in scattered(batch.tables["arrivals"]).to_pylist())
    assert samples == Counter(tuple(row.values()) for row in table.to_pylist()) + left
    assert samples.total() == batch.points


def test_what_comes_together_is_one_row() -> None:
    points = [
        ("heat", f"vm-{vm}", n, ts, 0, 1.0) for ts in (1, 2) for vm in (1, 2) for n in range(9)
    ]

    assert gathered(_table(points, 1)).num_rows == 4


def test_what_comes_series_by_series_is_put_in_order_first() -> None:
    points = [
        ("heat", f"vm-{vm}", n, ts, 0, 1.0) for n in range(9) for vm in (1, 2) for ts in (1, 2)
    ]

    assert gathered(_table(points, 3)).num_rows == 4
