"""What a person sees who opens the tables."""

from __future__ import annotations

import time
from collections.abc import Mapping

from clickhouse_connect.driver.client import Client

from novacron_store.telemetry.rollups import Roller
from novacron_store.telemetry.writer import write
from store.batches import Line, Samples, at, batch, counter

VM = {"vm-1": {"vm.id": "vm-1", "vm.name": "web"}}
HOST = {"host-1": {"host.id": "host-1", "host.name": "kvm-a"}}


def now_and_before(value: float, growth: float = 0) -> Samples:
    """Ten minutes, a sample every 10 s, up to now."""
    now = time.time() // 300 * 300
    return [(now - 600 + 10 * n, value + growth * n) for n in range(61)]


def put(store: Client, lines: list[Line], resources: Mapping[str, Mapping[str, str]]) -> None:
    write(store, batch(lines, resources), "one")
    Roller(store).run(at(time.time() + 600))


def seen(store: Client, view: str, *columns: str) -> tuple[object, ...]:
    """A row; of a view with buckets that of the second bucket, the first that is whole."""
    order = "ORDER BY t LIMIT 1 OFFSET 1" if "t" in columns else "LIMIT 1"
    return tuple(store.query(f"SELECT {', '.join(columns)} FROM {view} {order}").result_rows[0])


def test_the_newest_state_of_a_vm(store: Client) -> None:
    running = Line(
        "vm.state", "vm-1", [*now_and_before(1)][:30], attributes={"vm.state": "running"}
    )
    left = Line("vm.state", "vm-1", [(time.time(), 0.0)], attributes={"vm.state": "running"})
    paused = Line("vm.state", "vm-1", [(time.time(), 1.0)], attributes={"vm.state": "paused"})
    put(store, [running, left, paused], VM)

    assert store.query("SELECT vm, name, state FROM vm_state").result_rows == [
        ("vm-1", "web", "paused")
    ]


def test_cpu_and_memory_of_a_vm_side_by_side(store: Client) -> None:
    lines = [
        Line("vm.cpu.utilization", "vm-1", now_and_before(0.5)),
        Line("vm.cpu.count", "vm-1", now_and_before(4)),
        Line("vm.memory.limit", "vm-1", now_and_before(2**30)),
    ]
    put(store, lines, VM)

    assert seen(store, "vm_cpu", "name", "utilization", "cpus", "cpu_seconds") == (
        "web", 0.5, 4, None,
    )  # fmt: skip
    assert seen(store, "vm_memory", "vm", "name", "usage", "memory_limit") == (
        "vm-1", "web", None, 2**30,
    )  # fmt: skip


def test_traffic_of_a_vm_is_a_rate(store: Client) -> None:
    mac, disk = {"network.interface.mac": "52:54:00:00:00:01"}, {"system.device": "vda"}
    way, disk_way = "network.io.direction", "disk.io.direction"
    lines = [
        counter("vm.network.io", "vm-1", now_and_before(0, 1000), **mac, **{way: "receive"}),
        counter("vm.network.io", "vm-1", now_and_before(0, 500), **mac, **{way: "transmit"}),
        counter("vm.disk.io", "vm-1", now_and_before(0, 10), **disk, **{disk_way: "write"}),
    ]
    put(store, lines, VM)

    assert seen(store, "vm_network", "name", "mac", "received", "sent", "t")[:4] == (
        "web", mac["network.interface.mac"], 100, 50,
    )  # fmt: skip
    assert seen(store, "vm_disk", "name", "device", "read", "written", "t")[:4] == (
        "web", "vda", None, 1,
    )  # fmt: skip


def test_a_host_side_by_side(store: Client) -> None:
    mode, state, nic = "cpu.mode", "system.memory.state", "network.interface.name"
    lines = [
        Line("system.cpu.utilization", "host-1", now_and_before(0.25), attributes={mode: "user"}),
        Line("system.cpu.utilization", "host-1", now_and_before(0.75), attributes={mode: "idle"}),
        Line("system.memory.usage", "host-1", now_and_before(7), attributes={state: "used"}),
        counter(
            "system.network.io",
            "host-1",
            now_and_before(0, 100),
            **{nic: "eth0", "network.io.direction": "receive"},
        ),
        Line(
            "system.filesystem.utilization",
            "host-1",
            now_and_before(0.125),
            attributes={"system.filesystem.mountpoint": "/"},
        ),
    ]
    put(store, lines, HOST)

    assert seen(store, "host_cpu", "name", '"user"', "idle") == ("kvm-a", 0.25, 0.75)
    assert seen(store, "host_memory", "name", "used", "free") == ("kvm-a", 7, None)
    assert seen(store, "host_network", "interface", "received", "t")[:2] == ("eth0", 10)
    assert seen(store, "host_filesystem", "name", "mountpoint", "utilization") == (
        "kvm-a", "/", 0.125,
    )  # fmt: skip


def test_the_newest_value_of_every_series(store: Client) -> None:
    labels = {"cpu.logical_number": "0"}
    put(store, [Line("heat", "vm-1", now_and_before(0, 1), attributes=labels, unit="Cel")], VM)

    rows = store.query("SELECT metric, entity, name, attributes, unit, value FROM metrics_now")
    assert rows.result_rows == [("heat", "vm-1", "web", labels, "Cel", 60)]


def test_buckets_have_means_and_rates(store: Client) -> None:
    put(
        store,
        [counter("m", "vm-1", now_and_before(0, 20)), Line("g", "vm-1", now_and_before(3))],
        VM,
    )

    assert seen(store, "metrics_5m WHERE metric = 'm'", "increase", "rate", "t")[:2] == (600, 2)
    assert seen(store, "metrics_5m WHERE metric = 'g'", "avg", "rate", "t")[:2] == (3, 0)


def test_samples_of_entities_that_nobody_described_are_no_error_beside_the_others(
    store: Client,
) -> None:
    now = time.time() // 3600 * 3600
    times = [now - 3600 + 60 * n for n in range(60)]
    names = [f"vm-{number}" for number in range(120)]
    described = {name: {"vm.id": name} for name in names[30:]}
    lines = [Line("vm.cpu.utilization", name, [(t, 0.5) for t in times]) for name in names]
    write(store, batch(lines, described), "fleet", at(now))
    Roller(store, settle_s=0).run(at(now + 400))

    joined = "SELECT count() FROM samples AS s INNER JOIN entities AS e ON e.entity = s.entity"
    newest = f"{joined.replace('count()', 'e.name')} ORDER BY s.ts DESC LIMIT 3"

    assert store.query(joined).result_rows == [(90 * 60,)]
    assert len(store.query(newest).result_rows) == 3
