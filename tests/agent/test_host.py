"""Host metrics, on the machine the tests run on."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from novacron_agent.host.cpu import Cpu
from novacron_agent.host.disks import is_physical
from novacron_agent.host.network import own_interfaces
from novacron_agent.host.scraper import Host
from novacron_agent.host.system import read_processes
from novacron_agent.identity import Machine
from novacron_agent.readings import Reading
from novacron_contract.metrics import BY_NAME, HOST_METRICS
from provider_contract import values

MACHINE = Machine(id="1" * 32, name="kvm-1", arch="amd64", os_description="Debian")


@pytest.fixture
def reading() -> Reading:
    """All of two scrapes; what is read apart comes with the second."""
    host = Host(MACHINE)
    host.scrape()
    time.sleep(0.2)
    scrape = host.scrape()
    assert scrape.failures == []
    for apart in scrape.readings[1:]:
        scrape.readings[0].series += apart.series
        scrape.readings[0].values += apart.values
    return scrape.readings[0]


# Not every machine has a disk, sensors, or a kernel that was built with all of it
_WHERE_IT_IS = (
    "hw.",
    "system.disk.",
    "system.memory.linux.",
    "system.linux.",
    "system.network.con",
)


def test_every_host_metric_of_the_contract_is_there(reading: Reading) -> None:
    names = {sample.metric.name for sample in reading.samples}
    not_everywhere = {m.name for m in HOST_METRICS if m.name.startswith(_WHERE_IT_IS)}

    assert names | not_everywhere == {m.name for m in HOST_METRICS}
    assert "system.memory.linux.available" in names


def test_every_sample_is_as_the_contract_says(reading: Reading) -> None:
    for sample in reading.samples:
        metric = BY_NAME[sample.metric.name]
        assert set(sample.attributes) == set(metric.attributes), metric.name
        assert isinstance(sample.value, float if metric.unit == "s" else int | float)
        assert sample.value >= 0 or metric.name in ("system.clock.offset", "hw.temperature")


def test_the_counters_began_at_boot(reading: Reading) -> None:
    assert abs(reading.start_ns / 1e9 - psutil.boot_time()) < 2


def test_shares_of_cpu_and_memory_add_up_to_one(reading: Reading) -> None:
    assert sum(values(reading, "system.cpu.utilization").values()) == pytest.approx(1)
    assert sum(values(reading, "system.memory.utilization").values()) == pytest.approx(1)
    [limit] = values(reading, "system.memory.limit").values()
    assert sum(values(reading, "system.memory.usage").values()) == limit


def test_the_first_scrape_has_no_utilization() -> None:
    reading = Reading({}, 0)
    Cpu().read(reading)
    assert values(reading, "system.cpu.utilization") == {}
    assert values(reading, "system.cpu.time")


def test_a_busy_process_shows_in_user_time() -> None:
    cpu, before, after = Cpu(), Reading({}, 0), Reading({}, 0)
    cpu.read(before)
    end = time.process_time() + 0.3
    while time.process_time() < end:
        sum(range(200_000))  # asking for the time alone would be the kernel's work
    cpu.read(after)

    spent = [values(reading, "system.cpu.time")["user",] for reading in (before, after)]
    assert spent[1] - spent[0] >= 0.2
    assert values(after, "system.cpu.utilization")["user",] > 0


def test_the_disks_of_this_machine_are_those_with_hardware_behind_them(reading: Reading) -> None:
    hardware = {path.parent.name for path in Path("/sys/block").glob("*/device")}
    disks = {str(device) for device, _direction in values(reading, "system.disk.io")}

    assert disks == {name for name in hardware if not name.startswith(("sr", "fd"))}


def test_a_partition_a_loop_device_and_a_cd_are_no_physical_disks(tmp_path: Path) -> None:
    for name in ("vda/device", "vda/vda1", "loop0", "sr0/device", "cciss!c0d0/device"):
        (tmp_path / name).mkdir(parents=True)

    names = ["vda", "vda1", "loop0", "sr0", "cciss/c0d0"]
    assert [n for n in names if is_physical(n, tmp_path)] == ["vda", "cciss/c0d0"]


def interfaces(place: Path, **kinds: str) -> Path:
    for name, mark in kinds.items():
        (place / name / mark).mkdir(parents=True)
    return place


def test_a_host_counts_its_physical_interfaces_only(tmp_path: Path) -> None:
    net = interfaces(
        tmp_path, lo="x", eth0="device", eth1="device", br0="bridge", vnet3="tun_flags", bond0="x"
    )
    assert own_interfaces(os.listdir(net), net) == ["eth0", "eth1"]


def test_a_container_counts_what_is_neither_loopback_nor_a_switch(tmp_path: Path) -> None:
    net = interfaces(tmp_path, lo="x", eth0="x", br0="bridge", tap0="tun_flags")
    assert own_interfaces(os.listdir(net), net) == ["eth0"]


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_stopped_and_a_defunct_process_are_counted_as_such() -> None:
    def count(state: str) -> float:
        reading = Reading({}, 0)
        read_processes(reading)
        return values(reading, "system.process.count")[state,]

    stopped, defunct = count("stopped"), count("defunct")
    with subprocess.Popen(["sleep", "60"]) as sleeper, subprocess.Popen(["true"]) as done:
        sleeper.send_signal(19)
        wait_for(lambda: count("stopped") > stopped)
        wait_for(lambda: count("defunct") > defunct)
        sleeper.kill()
        done.wait()


def test_a_name_in_brackets_does_not_confuse_the_count(tmp_path: Path) -> None:
    process = tmp_path / str(os.getpid())
    process.mkdir()
    (process / "stat").write_bytes(b"7 (evil) Z (x) D 1 7 7 0")
    reading = Reading({}, 0)

    read_processes(reading, tmp_path)

    assert values(reading, "system.process.count")["blocked",] == 1


def test_one_group_that_fails_leaves_the_others_alone() -> None:
    def broken(_reading: Reading) -> None:
        raise PermissionError(13, "Permission denied", "/proc/diskstats")

    host = Host(MACHINE)
    host.groups["disk"] = broken

    scrape = host.scrape()

    assert scrape.failures == [
        "disk cannot be measured: [Errno 13] Permission denied: '/proc/diskstats'"
    ]
    assert values(scrape.readings[0], "system.uptime")
