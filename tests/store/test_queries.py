"""What the fleet page and the machine page are told."""

from __future__ import annotations

import math

import pytest
from clickhouse_connect.driver.client import Client

from noon import NOON
from novacron_contract.errors import BadMessage, NotFound
from novacron_store.telemetry.queries import (
    Aggregate,
    ChartQuery,
    Resolution,
    catalog,
    chart,
    fleet_now,
    latest,
    sparklines,
)
from novacron_store.telemetry.rollups import Roller
from novacron_store.telemetry.writer import write
from store.batches import Line, Samples, at, batch, counter

RX, TX = {"network.io.direction": "receive"}, {"network.io.direction": "transmit"}
READ, WRITE = {"disk.io.direction": "read"}, {"disk.io.direction": "write"}
VM = {"vm-1": {"vm.id": "vm-1", "vm.name": "web"}}
HOST = {"host-1": {"host.id": "host-1", "host.name": "kvm"}}


def every(seconds: int, count: int, value: float, growth: float = 0, start: int = NOON) -> Samples:
    """`count` samples, `seconds` apart, that end at `start`."""
    return [(start - (count - 1 - n) * seconds, value + n * growth) for n in range(count)]


def test_a_vm_is_shown_with_its_newest_values_and_its_rates(store: Client) -> None:
    lines = [
        Line("vm.state", "vm-1", every(10, 6, 0), attributes={"vm.state": "paused"}),
        Line("vm.state", "vm-1", every(10, 3, 1), attributes={"vm.state": "running"}),
        Line("vm.cpu.utilization", "vm-1", every(10, 6, 0.1, 0.1)),
        Line("vm.cpu.count", "vm-1", every(10, 6, 4)),
        Line("vm.memory.usage", "vm-1", every(10, 6, 100)),
        Line("vm.memory.limit", "vm-1", every(10, 6, 400)),
        counter("vm.network.io", "vm-1", every(10, 6, 5, 1000), **RX),
        counter("vm.network.io", "vm-1", every(10, 6, 5, 2000), **TX),
        counter("vm.disk.io", "vm-1", every(10, 6, 5, 10), **READ, **{"system.device": "vda"}),
        counter("vm.disk.io", "vm-1", every(10, 6, 5, 20), **READ, **{"system.device": "vdb"}),
    ]
    write(store, batch(lines, VM), "one", at(NOON))

    (row,) = fleet_now(store, at(NOON + 5))

    assert (row.entity, row.entity_type, row.state, row.seen) == ("vm-1", "vm", "running", at(NOON))
    assert row.cpu_utilization == pytest.approx(0.6)
    assert (row.cpu_count, row.memory_usage, row.memory_limit) == (4, 100, 400)
    assert (row.network_receive, row.network_transmit) == (100, 200)
    assert (row.disk_read, row.disk_write) == (3, None)


def test_a_restarted_counter_is_no_negative_rate(store: Client) -> None:
    samples = [(NOON - 30, 900.0), (NOON - 20, 1000.0), (NOON - 10, 50.0), (NOON, 100.0)]
    write(store, batch([counter("vm.network.io", "vm-1", samples, **RX)], VM), "one", at(NOON))

    assert fleet_now(store, at(NOON))[0].network_receive == pytest.approx(200 / 30)


def test_a_host_counts_its_own_interfaces_and_not_those_of_its_guests(store: Client) -> None:
    nic = "network.interface.name"
    lines = [
        counter("system.network.io", "host-1", every(10, 6, 0, growth), **RX, **{nic: name})
        for name, growth in (("eth0", 10), ("lo", 1000), ("vnet3", 10))
    ]
    lines += [
        Line("system.cpu.utilization", "host-1", every(10, 6, share), attributes={"cpu.mode": mode})
        for mode, share in (("user", 0.3), ("idle", 0.6), ("iowait", 0.1))
    ]
    lines += [
        Line("system.memory.usage", "host-1", every(10, 6, 7), attributes={key: "used"})
        for key in ("system.memory.state",)
    ]
    write(store, batch(lines, HOST), "one", at(NOON))

    (row,) = fleet_now(store, at(NOON))

    assert (row.entity_type, row.state) == ("host", "")
    assert row.cpu_utilization == pytest.approx(0.3)
    assert (row.network_receive, row.memory_usage) == (1, 7)


def test_a_host_known_through_libvirt_alone_has_a_cpu_too(store: Client) -> None:
    lines = [
        counter("libvirt.host.cpu.time", "host-1", every(10, 6, 50, growth), **{"cpu.mode": mode})
        for mode, growth in (("user", 1), ("kernel", 1), ("idle", 6))
    ]
    lines += [
        Line("libvirt.host.memory.limit", "host-1", every(10, 6, 9)),
        Line("libvirt.host.cpu.count", "host-1", every(10, 6, 8)),
    ]
    write(store, batch(lines, HOST), "one", at(NOON))

    (row,) = fleet_now(store, at(NOON))

    assert row.cpu_utilization == pytest.approx(0.25)
    assert (row.cpu_count, row.memory_limit) == (8, 9)


def test_a_machine_silent_for_15_minutes_and_a_service_are_not_in_the_fleet(store: Client) -> None:
    line = Line("vm.cpu.utilization", "vm-1", [(NOON, 0.5)])
    write(store, batch([line], VM), "one", at(NOON))
    write(store, batch([Line("system.cpu.utilization", "svc", [(NOON, 0.5)])]), "two", at(NOON))

    assert [row.entity for row in fleet_now(store, at(NOON + 899))] == ["vm-1"]
    assert fleet_now(store, at(NOON + 901)) == []


@pytest.mark.parametrize(("live", "silent"), [(4, 1), (1, 4), (0, 2)])
def test_machines_that_fell_silent_are_beside_those_that_report(
    store: Client, live: int, silent: int
) -> None:
    ago = {f"vm-{n}": 0 if n < live else 700 for n in range(live + silent)}
    lines = [
        Line("vm.cpu.utilization", vm, [(NOON - seconds, 0.1 + n)])
        for n, (vm, seconds) in enumerate(ago.items())
    ]
    write(store, batch(lines, {vm: {"vm.id": vm} for vm in ago}), "some", at(NOON))

    rows = fleet_now(store, at(NOON))

    assert [(row.entity, row.seen) for row in rows] == [
        (vm, at(NOON - seconds)) for vm, seconds in ago.items()
    ]
    assert [row.cpu_utilization for row in rows] == [0.1 + n for n in range(len(ago))]


def test_of_a_machine_that_reports_what_it_tells_every_five_minutes_is_shown(
    store: Client,
) -> None:
    lines = [
        Line("vm.cpu.utilization", "vm-1", every(10, 3, 0.5)),
        Line("vm.memory.usage", "vm-1", [(NOON - 300, 7.0)]),
    ]
    write(store, batch(lines, VM), "one", at(NOON))

    assert fleet_now(store, at(NOON))[0].memory_usage == 7


def test_a_series_that_ended_shows_what_it_was_and_no_nan(store: Client) -> None:
    line = Line("vm.cpu.utilization", "vm-1", [(NOON, 0.5), (NOON + 10, math.nan)])
    write(store, batch([line], VM), "one", at(NOON))

    assert fleet_now(store, at(NOON + 20))[0].cpu_utilization == 0.5
    assert [value.value for value in latest(store, "vm-1", at(NOON + 20))] == [0.5]


def test_sparklines_average_gauges_and_leave_gaps(store: Client) -> None:
    samples = [(NOON + 300 * n + 10 * i, float(n)) for n in (0, 1, 4) for i in range(3)]
    write(store, batch([Line("vm.cpu.utilization", "vm-1", samples)], VM), "one", at(NOON))
    Roller(store).run(at(NOON + 1700))

    end = at(NOON + 1800 - 1)
    drawn = sparklines(store, "vm.cpu.utilization", at(NOON), end, points=6)

    assert drawn == {"vm-1": [0, 1, None, None, 4, None]}
    assert sparklines(store, "vm.cpu.utilization", at(NOON), end, 6, entities=["vm-2"]) == {}


def test_sparklines_of_counters_are_rates_of_all_series_together(store: Client) -> None:
    samples = [(NOON - 300 + 10 * n, 10.0 * n) for n in range(121)]
    lines = [counter("vm.network.io", "vm-1", samples, **way) for way in (RX, TX)]
    write(store, batch(lines, VM), "one", at(NOON))
    Roller(store).run(at(NOON + 720))  # the newest bucket is not rolled up yet

    drawn = sparklines(store, "vm.network.io", at(NOON), at(NOON + 899), points=3)
    received = sparklines(store, "vm.network.io", at(NOON), at(NOON + 899), 3, filters=RX)

    assert drawn["vm-1"] == pytest.approx([2, 2, 2])
    assert received["vm-1"] == pytest.approx([1, 1, 1])


def test_a_sample_that_came_twice_is_no_step(store: Client) -> None:
    grown = every(15, 21, 0, 60)
    for token in ("once", "again"):
        lines = [
            counter("vm.network.io", "vm-1", grown, **RX),
            Line("vm.ops", "vm-1", [(t, 30.0) for t, _ in grown], "sum", "delta", monotonic=True),
        ]
        write(store, batch(lines, VM), token, at(NOON))

    for metric, rate in (("vm.network.io", 4), ("vm.ops", 2)):
        (line,) = chart(store, ChartQuery(metric, "vm-1", at(NOON - 300), at(NOON), 5)).lines
        assert line.values == pytest.approx(5 * [rate])


def test_sparklines_of_a_young_system_come_from_samples(store: Client) -> None:
    write(
        store,
        batch([Line("vm.cpu.utilization", "vm-1", every(10, 6, 0.5))], VM),
        "one",
        at(NOON),
    )

    drawn = sparklines(store, "vm.cpu.utilization", at(NOON - 6 * 3600), at(NOON))

    assert drawn["vm-1"][-1] == 0.5
    assert len(drawn["vm-1"]) == 72


def test_a_chart_has_each_sample_where_there_is_room(store: Client) -> None:
    samples = [(NOON + 10 * n, n / 10) for n in range(6)] + [(NOON + 200, 0.9)]
    write(store, batch([Line("vm.cpu.utilization", "vm-1", samples)], VM), "one", at(NOON))

    drawn = chart(store, ChartQuery("vm.cpu.utilization", "vm-1", at(NOON), at(NOON + 300)))

    assert (drawn.resolution, drawn.kind, drawn.unit) == (Resolution.RAW, "gauge", "1")
    (line,) = drawn.lines
    assert line.values == [0, 0.1, 0.2, 0.3, 0.4, 0.5, None, 0.9]
    assert line.ts[:2] == [NOON * 1000, (NOON + 10) * 1000]
    assert line.ts == sorted(line.ts)


def test_a_chart_of_a_counter_is_a_rate_for_each_series(store: Client) -> None:
    lines = [
        counter("vm.network.io", "vm-1", every(10, 30, 0, growth), **way)
        for way, growth in ((RX, 100), (TX, 50))
    ]
    write(store, batch(lines, VM), "one", at(NOON))

    drawn = chart(store, ChartQuery("vm.network.io", "vm-1", at(NOON - 60), at(NOON)))
    filtered = chart(
        store, ChartQuery("vm.network.io", "vm-1", at(NOON - 60), at(NOON), filters=TX)
    )

    assert (drawn.kind, drawn.unit) == ("counter", "By")
    assert [(line.attributes, set(line.values)) for line in drawn.lines] == [(RX, {10}), (TX, {5})]
    assert [line.attributes for line in filtered.lines] == [TX]


def test_a_long_chart_comes_from_buckets_and_ends_with_what_is_not_rolled_up(
    store: Client,
) -> None:
    start = NOON - 6 * 3600
    samples = [(start + 60 * n, float(n % 2)) for n in range(6 * 60)]
    write(store, batch([Line("vm.cpu.utilization", "vm-1", samples)], VM), "one", at(NOON))
    Roller(store).run(at(NOON - 1800))
    query = ChartQuery("vm.cpu.utilization", "vm-1", at(start), at(NOON - 1), max_points=36)

    drawn = chart(store, query)
    highest = chart(
        store,
        ChartQuery(query.metric, query.entity, query.start, query.end, 36, {}, Aggregate.MAX),
    )
    hourly = chart(store, ChartQuery(query.metric, query.entity, query.start, query.end, 6))

    assert (drawn.resolution, drawn.step_s) == (Resolution.FIVE_MINUTES, 600)
    assert drawn.lines[0].values == pytest.approx([0.5] * 36)
    assert highest.lines[0].values == [1] * 36
    assert hourly.resolution is Resolution.HOUR
    assert hourly.lines[0].values == pytest.approx([0.5] * 6)


def test_a_chart_reaches_back_to_buckets_whose_samples_are_gone(store: Client) -> None:
    samples = [(NOON + 60 * n, 1.0) for n in range(120)]
    write(store, batch([Line("heat", "vm-1", samples)], VM), "one", at(NOON))
    Roller(store, kept_s=0).run(at(NOON + 7800))
    gone = f"hour = toDateTime({NOON}, 'UTC')"
    store.command(f"ALTER TABLE data_blocks DELETE WHERE {gone} SETTINGS mutations_sync = 2")

    drawn = chart(store, ChartQuery("heat", "vm-1", at(NOON), at(NOON + 7199)))

    assert drawn.resolution is Resolution.FIVE_MINUTES
    assert len(drawn.lines[0].values) == 24


def test_the_catalog_says_how_a_metric_is_shown(store: Client) -> None:
    lines = [
        Line("heat", "svc", [(NOON, 1.0)]),
        counter("requests", "svc", [(NOON, 1.0)]),
        Line("queue", "svc", [(NOON, 1.0)], "sum", "cumulative", False),
        Line("errors", "svc", [(NOON, 1.0)], "sum", "delta", False),
    ]
    write(store, batch(lines), "one", at(NOON))

    assert [(info.metric, info.kind, info.is_counter) for info in catalog(store)] == [
        ("errors", "sum", True),
        ("heat", "gauge", False),
        ("queue", "sum", False),
        ("requests", "sum", True),
    ]


def test_the_newest_value_of_each_series_of_a_machine(store: Client) -> None:
    lines = [
        counter("vm.network.io", "vm-1", every(10, 3, 5, 10), **RX),
        Line("vm.cpu.utilization", "vm-1", every(10, 3, 0.5)),
        Line("vm.cpu.utilization", "vm-2", every(10, 3, 0.5)),
    ]
    write(store, batch(lines, VM), "one", at(NOON))

    found = latest(store, "vm-1", at(NOON))

    assert [(v.metric, v.attributes, v.value, v.ts, v.unit) for v in found] == [
        ("vm.cpu.utilization", {}, 0.5, at(NOON), "1"),
        ("vm.network.io", RX, 25, at(NOON), "By"),
    ]


def test_hostile_names_are_only_names(store: Client) -> None:
    name = "'; DROP TABLE data_windows; -- {x:String} \\"
    lines = [Line(name, name, [(NOON, 1.0)], attributes={name: name})]
    write(store, batch(lines, {name: {"vm.id": name, "vm.name": name}}), "one", at(NOON))

    query = ChartQuery(name, name, at(NOON - 60), at(NOON + 60), filters={name: name})
    assert chart(store, query).lines[0].attributes == {name: name}
    assert sparklines(store, name, at(NOON - 60), at(NOON + 60), 2, [name]) == {name: [1, None]}
    assert latest(store, name, at(NOON))[0].value == 1


def test_what_cannot_be_drawn_is_said(store: Client) -> None:
    write(store, batch([Line("heat", "svc", [(NOON, 1.0)])]), "one", at(NOON))

    with pytest.raises(NotFound, match="'cold'"):
        sparklines(store, "cold", at(NOON), at(NOON + 60))
    with pytest.raises(BadMessage, match="range is empty"):
        chart(store, ChartQuery("heat", "svc", at(NOON), at(NOON)))
    with pytest.raises(BadMessage, match="1 to 5000"):
        chart(store, ChartQuery("heat", "svc", at(NOON), at(NOON + 60), max_points=0))
