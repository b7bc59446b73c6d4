"""What is in a batch, row by row, whichever way its samples are written."""

from __future__ import annotations

from typing import Any

from novacron_store.telemetry.batch import Batch
from novacron_store.telemetry.recent import scattered


def rows_of(batch: Batch) -> dict[str, list[dict[str, Any]]]:
    """Rows by table, without those that are empty; arrivals are among the samples."""
    tables = dict(batch.tables)
    arrivals = tables.pop("arrivals", None)
    rows = {name: table.to_pylist() for name, table in tables.items() if table.num_rows}
    if arrivals is not None and arrivals.num_rows:
        rows.setdefault("samples", []).extend(scattered(arrivals).to_pylist())
    return rows
