"""Bulk statistics as libvirt gives them -> samples, from what a live guest answered."""

from __future__ import annotations

from typing import Any

import pytest

from novacron_agent.otlp import Encoder
from novacron_agent.providers.kvm.states import is_elsewhere, vm_state
from novacron_agent.providers.kvm.statistics import (
    add_cpu,
    add_disks,
    add_job,
    add_memory,
    add_networks,
    add_rss,
    add_vcpus,
)
from novacron_agent.readings import Reading
from provider_contract import values

NOW_S = 1795461550
LIVE: dict[str, Any] = {
    "state.state": 1,
    "state.reason": 1,
    "cpu.time": 6880000000,
    "balloon.current": 98304,
    "balloon.maximum": 98304,
    "balloon.swap_in": 1,
    "balloon.swap_out": 2,
    "balloon.major_fault": 3,
    "balloon.minor_fault": 2802,
    "balloon.unused": 32896,
    "balloon.available": 62020,
    "balloon.usable": 39396,
    "balloon.last-update": NOW_S - 3,
    "balloon.disk_caches": 2596,
    "balloon.rss": 217488,
    "vcpu.current": 1,
    "vcpu.maximum": 2,
    "vcpu.0.state": 1,
    "vcpu.0.time": 6500000000,
    "vcpu.0.wait": 0,
    "vcpu.0.delay": 6262908684,
    "net.count": 2,
    "net.0.name": "vnet1",
    "net.0.rx.bytes": 3154,
    "net.0.rx.pkts": 33,
    "net.0.rx.errs": 0,
    "net.0.rx.drop": 0,
    "net.0.tx.bytes": 2480,
    "net.0.tx.pkts": 20,
    "net.0.tx.errs": 0,
    "net.0.tx.drop": 0,
    "block.count": 1,
    "block.0.name": "vda",
    "block.0.rd.reqs": 56,
    "block.0.rd.bytes": 7082496,
    "block.0.rd.times": 3320883,
    "block.0.wr.reqs": 6,
    "block.0.wr.bytes": 393216,
    "block.0.wr.times": 10834979,
    "block.0.fl.reqs": 0,
    "block.0.fl.times": 0,
    "block.0.allocation": 393216,
    "block.0.capacity": 67108864,
    "block.0.physical": 331776,
}
MAC = "52:54:00:00:00:01"


def read(**changes: Any) -> Reading:
    stats = {**LIVE, **{key.replace("__", "."): value for key, value in changes.items()}}
    return usage_of({key: value for key, value in stats.items() if value is not None})


def usage_of(stats: dict[str, Any]) -> Reading:
    reading = Reading({}, time_ns=NOW_S * 10**9)
    for add in (add_cpu, add_rss, add_vcpus, add_memory):
        add(reading, stats)
    add_disks(reading, stats, running=True)
    add_networks(reading, stats, {"vnet1": MAC})
    return reading


def test_times_are_seconds_and_sizes_are_bytes() -> None:
    reading = read()

    assert values(reading, "vm.cpu.time") == {(): 6.88}
    assert values(reading, "libvirt.vcpu.delay_time") == {(0,): 6.262908684}
    assert values(reading, "libvirt.memory.balloon") == {(): 98304 * 1024}
    assert values(reading, "libvirt.memory.rss") == {(): 217488 * 1024}
    assert values(reading, "libvirt.memory.swap") == {("in",): 1024, ("out",): 2048}
    assert values(reading, "vm.disk.operation_time") == {
        ("vda", "read"): 0.003320883,
        ("vda", "write"): 0.010834979,
    }


def test_memory_in_use_leaves_out_the_caches_the_guest_would_give_up() -> None:
    assert values(read(), "vm.memory.usage") == {(): (62020 - 39396) * 1024}


def test_a_guest_without_the_usable_figure_is_told_by_the_unused_one() -> None:
    stats = {key: value for key, value in LIVE.items() if key != "balloon.usable"}
    assert values(usage_of(stats), "vm.memory.usage") == {(): (62020 - 32896) * 1024}


@pytest.mark.parametrize("last_update", [0, None, NOW_S - 181, NOW_S - 10**6])
def test_a_balloon_that_is_silent_says_nothing(last_update: int | None) -> None:
    stats = {**LIVE, "balloon.last-update": last_update}
    names = {sample.metric.name for sample in usage_of(stats).samples}

    assert "vm.memory.usage" not in names
    assert not any(name.startswith("libvirt.memory.faults") for name in names)
    assert {"libvirt.memory.balloon", "libvirt.memory.rss"} <= names


def test_an_interface_is_known_by_its_mac_and_directions_are_the_guests() -> None:
    reading = read()

    assert values(reading, "vm.network.io") == {(MAC, "receive"): 3154, (MAC, "transmit"): 2480}
    assert values(reading, "vm.network.packet.count") == {
        (MAC, "receive"): 33,
        (MAC, "transmit"): 20,
    }


def test_an_interface_whose_mac_is_not_known_is_left_out() -> None:
    assert values(read(net__0__name="vnet9"), "vm.network.io") == {}


@pytest.mark.parametrize("unknown", [-1, 2**64 - 1, None])
def test_a_value_the_hypervisor_does_not_know_is_absent(unknown: int | None) -> None:
    reading = read(block__0__rd__bytes=unknown, cpu__time=unknown, block__0__physical=unknown)

    assert values(reading, "vm.disk.io") == {("vda", "write"): 393216}
    assert values(reading, "vm.cpu.time") == {}
    assert values(reading, "vm.disk.usage") == {}


@pytest.mark.parametrize("said", [2**54 - 1, 2**63 - 1, 2**64 - 2])
def test_whatever_a_guest_says_of_its_memory_it_is_sent_or_absent(said: int) -> None:
    keys = [key for key in LIVE if key.startswith("balloon.") and key != "balloon.last-update"]
    reading = usage_of({**LIVE, **dict.fromkeys(keys, said)})
    reading.resource |= {"vm.id": "hostile"}
    other = usage_of(LIVE)
    other.resource |= {"vm.id": "other"}

    requests = Encoder("1").encode([reading, other])

    assert sum(request.points for request in requests) >= len(other.values)
    assert all(value < 2**63 for value in reading.values)


def test_the_space_of_a_disk_is_what_it_takes_on_its_storage() -> None:
    assert values(read(), "vm.disk.usage") == {("vda",): 331776}
    off = Reading({}, time_ns=NOW_S * 10**9)
    add_disks(off, LIVE, running=False)
    assert values(off, "vm.disk.usage") == {("vda",): 393216}
    assert values(off, "vm.disk.io") == {}


def test_only_the_virtual_cpus_that_exist_are_told() -> None:
    assert values(read(), "libvirt.vcpu.time") == {(0,): 6.5}


def test_a_job_is_told_by_what_it_does_and_how_far_it_is() -> None:
    reading = Reading({}, time_ns=NOW_S * 10**9)
    add_job(reading, {})
    assert reading.samples == []

    job = {"type": 2, "operation": 5, "time_elapsed": 1500, "data_total": 9, "data_remaining": 4}
    add_job(reading, job)

    assert values(reading, "libvirt.job.elapsed_time") == {("migration_out",): 1.5}
    assert values(reading, "libvirt.job.data.limit") == {("migration_out",): 9}
    assert values(reading, "libvirt.job.data.remaining") == {("migration_out",): 4}
    assert values(reading, "libvirt.job.data.processed") == {}


@pytest.mark.parametrize(
    ("state", "reason", "expected"),
    [
        (0, 0, "unknown"),
        (1, 1, "running"),
        (2, 0, "blocked"),
        (3, 1, "paused"),
        (3, 5, "blocked"),
        (3, 10, "crashed"),
        (4, 1, "stopping"),
        (5, 1, "stopped"),
        (5, 3, "crashed"),
        (6, 1, "crashed"),
        (7, 0, "suspended"),
        (99, 0, "unknown"),
    ],
)
def test_states_are_those_of_every_provider(state: int, reason: int, expected: str) -> None:
    assert vm_state(state, reason) == expected


def test_during_a_migration_one_host_answers_for_the_guest() -> None:
    starting_up, waiting_for_memory, left_for_the_other_host = (3, 11), (3, 2), (5, 4)
    assert is_elsewhere(*starting_up)
    assert is_elsewhere(*waiting_for_memory)
    assert is_elsewhere(*left_for_the_other_host)
    assert not is_elsewhere(1, 3)  # arrived
