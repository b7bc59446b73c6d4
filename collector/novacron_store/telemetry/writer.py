"""Write a batch: retried as often as you like, it is stored once."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.compute as pc
from clickhouse_connect.driver.client import Client

from novacron_store.telemetry import schema
from novacron_store.telemetry.batch import Batch
from novacron_store.telemetry.client import contract_errors
from novacron_store.telemetry.recent import arrivals
from novacron_store.telemetry.room import ONLY_WITH_ROOM, written
from novacron_store.telemetry.schema import WINDOW_S

LATENESS_S = 120  # a window is rolled up this long after its end ...
SETTLE_S = 60  # ... and a mark is looked at this long after it was set

# What describes a point is there before the point is: samples follow these.
_ORDER = (
    ("metrics", schema.METRICS),
    ("entities", schema.ENTITIES),
    ("series", schema.SERIES),
    ("histograms", schema.HISTOGRAMS),
    ("exponential_histograms", schema.EXPONENTIAL_HISTOGRAMS),
    ("summaries", schema.SUMMARIES),
    ("exemplars", schema.EXEMPLARS),
)
_INSERT = {
    "async_insert": "0",  # the answer means that the rows are committed; tables fsync by themselves
    "throw_on_max_partitions_per_insert_block": "0",
    # Equal rows of one insert are left to FINAL and to merges, as those of two inserts are anyway:
    # looking for them here costs 40 % of the insert.
    "optimize_on_insert": "0",
    **ONLY_WITH_ROOM,
    "input_format_null_as_default": "0",  # no column has NULLs it may not have: 10 % of the insert
}


# Where the windows begin that no roll-up has looked at, in Unix seconds.
_CLAIMED = (
    f"SELECT toUnixTimestamp(max(upto)) FROM {schema.ROLLED} "
    f"WHERE resolution IN ({schema.CLAIMED}, {WINDOW_S})"
)


def write(client: Client, batch: Batch, token: str, now: datetime | None = None) -> None:
    """Store `batch`; when this returns, it is on disk.

    `token` names the batch: the same token again is no second copy. Windows that may have been
    rolled up already get a mark, and are gathered and rolled up again. Which ones these are is
    asked when the samples are stored, so that neither clocks nor slow writes matter: a roll-up says
    which window it takes before it reads samples.

    Raises:
        Unavailable: nothing, or a part, was stored; write the same batch again, with another token
            (the store may know this one, though it lost the rows).
    """
    at = now or datetime.now(UTC)
    with contract_errors(), written(client):
        for name, table in _ORDER:
            rows = batch.tables.get(name)
            if rows is not None and rows.num_rows:
                _insert(client, table, _stored(name, rows), f"{token}/{name}")
        rows = arrivals(batch)
        windows = _windows(rows)
        if windows:
            _insert(client, schema.ARRIVALS, rows, f"{token}/{schema.ARRIVALS}")
            claimed = _claimed(client)
            late = _entities(rows, [window for window in windows if window < claimed])
            _mark(client, late, at)


def _claimed(client: Client) -> int:
    return int(client.query(_CLAIMED).result_rows[0][0])


def _insert(client: Client, table: str, rows: pa.Table, token: str) -> None:
    settings = _INSERT | {"insert_deduplication_token": token}
    client.insert_arrow(table, rows, settings=settings)


def _stored(name: str, rows: pa.Table) -> pa.Table:
    """The rows as their table has them: an entity is seen first and last when it is seen."""
    if name != "entities":
        return rows
    columns = ["first_seen" if column == "seen" else column for column in rows.column_names]
    return rows.rename_columns(columns).append_column("last_seen", rows["seen"])


def _windows(rows: pa.Table) -> list[int]:
    """Starts of the 5-minute windows that have samples, in Unix seconds."""
    if not rows.num_rows:
        return []
    span = WINDOW_S * 1000
    ms = rows["ts"].cast(pa.int64())
    low, high = (value // span for value in pc.min_max(ms).as_py().values())
    if low == high:
        return [low * WINDOW_S]
    starts = pc.unique(pc.divide(ms, span))
    return sorted(start * WINDOW_S for start in starts.to_pylist())


def _entities(rows: pa.Table, windows: list[int]) -> dict[int, list[str]]:
    """Who has samples in each of those windows."""
    found: dict[int, list[str]] = {}
    ts = rows["ts"].cast(pa.int64()) if windows else None
    for window in windows:
        inside = pc.and_(
            pc.greater_equal(ts, window * 1000), pc.less(ts, (window + WINDOW_S) * 1000)
        )
        names = rows["entity"].filter(inside).cast(pa.string())
        found[window] = pc.unique(names).to_pylist()
    return found


def _mark(client: Client, late: dict[int, list[str]], at: datetime) -> None:
    """Windows that are to be rolled up again, and whose samples came."""
    if not late:
        return
    mark = secrets.randbits(64)
    rows = [[datetime.fromtimestamp(w, UTC), mark, at, False, late[w]] for w in late]
    client.insert(
        schema.DIRTY,
        rows,
        column_names=["window", "mark", "marked", "done", "entities"],
        settings=_INSERT,
    )
