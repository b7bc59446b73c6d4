"""How the store itself is."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from clickhouse_connect.driver.client import Client

from novacron_store.telemetry.health import health
from novacron_store.telemetry.rollups import Roller
from novacron_store.telemetry.writer import write
from store.batches import Line, at, batch


def test_tables_have_the_names_that_people_know(store: Client) -> None:
    now = datetime.now(UTC).timestamp()
    samples = [(now - 3600 + 10 * n, 1.0) for n in range(60)]
    write(store, batch([Line("m", "vm-1", samples)]), "one")

    found = health(store)

    table = {table.name: table for table in found.tables}["arrivals"]
    assert table.parts == 1
    assert table.rows == 60
    assert table.bytes > 0
    assert found.disk_free > 0
    assert found.merges >= 0
    assert found.rollup_lag_s is None, "nothing is rolled up yet"


def test_how_far_roll_ups_are_behind(store: Client) -> None:
    now = datetime.now(UTC).timestamp()
    write(store, batch([Line("m", "vm-1", [(now - 1800, 1.0), (now - 1200, 2.0)])]), "one")
    Roller(store).run(at(now))

    newest = (now - 1200) // 300 * 300 + 300
    hour = (now - 1200) // 3600 * 3600 + 3600
    if now - 300 >= hour:  # closed, though nothing came for the rest of it
        newest = hour
    assert health(store).rollup_lag_s == pytest.approx(now - newest, abs=30)
