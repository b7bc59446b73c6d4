"""The same through novacron-store, as every component but the tests has it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from uuid import uuid4

import pytest
from clickhouse_connect.driver.client import Client

from novacron_contract.errors import Refused, TooLarge
from novacron_store.telemetry.builder import Over, Query, Select, evaluate, samples
from novacron_store.telemetry.client import connect
from novacron_store.telemetry.migrations import migrate
from novacron_store.telemetry.queries import ChartQuery, chart, fleet_now, latest, sparklines
from novacron_store.telemetry.rollups import Roller
from novacron_store.telemetry.writer import write
from store.batches import Line, at, batch, counter
from store_process import StoreProcess


@pytest.fixture
def remote(store_process: StoreProcess) -> Iterator[Client]:
    """A client of a database of its own: what is rolled up here lies ahead of the clock."""
    client = connect(
        store_process.url,
        user="service",
        password=store_process.service_password_file.read_text(),
        database=f"remote_{uuid4().hex}",
    )
    migrate(client)
    yield client
    client.command(f"DROP DATABASE {client.database}")
    client.close()


def test_samples_become_buckets_and_answers(remote: Client) -> None:
    vm, now = uuid4().hex, time.time() // 300 * 300
    times = [now - 1800 + 10 * n for n in range(181)]
    lines = [
        Line("vm.cpu.utilization", vm, [(t, 0.5) for t in times]),
        counter("vm.network.io", vm, [(t, 100 * n) for n, t in enumerate(times)]),
    ]
    for _ in range(2):
        write(remote, batch(lines, {vm: {"vm.id": vm, "vm.name": "web"}}), vm, at(now))
    Roller(remote, settle_s=0).run(at(now + 200))

    start, end = at(now - 1800), at(now)
    grown = remote.query(
        "SELECT sum(increase), sum(count) FROM metrics_5m WHERE metric = 'vm.network.io' "
        "AND entity = {vm:String} AND t < {end:DateTime}",
        parameters={"vm": vm, "end": datetime.fromtimestamp(now, UTC)},
    ).result_rows
    assert grown == [(17_900, 180)]
    assert [row.cpu_utilization for row in fleet_now(remote, end) if row.entity == vm] == [0.5]
    many = [vm, *(uuid4().hex for _ in range(2000))]
    drawn = sparklines(remote, "vm.network.io", start, end, 6, entities=many)
    assert drawn == {vm: pytest.approx([10] * 6)}
    line = chart(remote, ChartQuery("vm.cpu.utilization", vm, start, end)).lines[0]
    assert line.values == [0.5] * 180  # as many as fit
    assert len(latest(remote, vm, end)) == 2


def test_a_wrong_password_is_refused(store_process: StoreProcess) -> None:
    with pytest.raises(Refused):
        connect(store_process.url, user="service", password="wrong")


def test_a_series_of_many_samples_that_came_twice_fits_into_memory(remote: Client) -> None:
    vm, begin = uuid4().hex, time.time() // 300 * 300 + 600
    line = counter("vm.network.io", vm, [(begin + 0.01 * n, float(n)) for n in range(29_000)])
    for times in range(2):
        write(remote, batch([line]), f"{vm}{times}", at(begin))

    drawn = chart(remote, ChartQuery("vm.network.io", vm, at(begin), at(begin + 300), 300))
    Roller(remote, settle_s=0).run(at(begin + 1000))
    again = chart(remote, ChartQuery("vm.network.io", vm, at(begin), at(begin + 300), 300))

    rows = "SELECT count(), sum(value) FROM samples WHERE entity = {vm:String}"
    assert remote.query(rows, parameters={"vm": vm}).result_rows == [(29_000, sum(range(29_000)))]
    assert drawn == again
    values = drawn.lines[0].values
    assert values == pytest.approx([100] * len(values))
    assert len(values) > 280


def test_more_samples_than_fit_are_left_to_sql(remote: Client) -> None:
    """What the engine says of a limit arrives as such, though its answer had begun."""
    start = int(time.time()) // 3600 * 3600 - 7200
    few = batch([Line("cpu", "vm-1", [(start + n, 1) for n in range(10)])])
    write(remote, few, "few", at(start + 60))
    remote.command(
        "INSERT INTO data_arrivals (entity, ts, metrics, ids, starts, numbers) "
        f"SELECT 'vm-1', fromUnixTimestamp64Milli({start + 60}000 + number, 'UTC'), ['cpu'], "
        f"[(SELECT any(series) FROM data_series)], [toDateTime64({start}, 3, 'UTC')], [2] "
        "FROM numbers(1200000)"
    )

    asked = Query(Select("cpu", Over.COUNT), start + 3600, start + 3600, 3600)
    answer = evaluate(remote, asked)
    drawn = chart(remote, ChartQuery("cpu", "vm-1", at(start), at(start + 3600)))

    assert answer.values.tolist() == [[1_200_010]]
    assert sum(value is not None for value in drawn.lines[0].values) > 100
    with pytest.raises(TooLarge, match="samples"):
        samples(remote, ("cpu",), start, start + 3600, most=1000)
