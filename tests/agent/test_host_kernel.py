"""What the kernel tells in /proc and /sys, from trees as real machines have them."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from novacron_agent.host.clock import Timex, ask_kernel, read_clock
from novacron_agent.host.disks import read_disks
from novacron_agent.host.kernel_files import number, table
from novacron_agent.host.memory import read_memory, read_paging
from novacron_agent.host.network import read_conntrack, read_links
from novacron_agent.host.numa import read_numa
from novacron_agent.host.pages import read_hugepages, read_ksm
from novacron_agent.host.pressure import read_pressure
from novacron_agent.host.sensors import read_sensors
from novacron_agent.readings import Reading
from provider_contract import values


@pytest.fixture
def reading() -> Reading:
    return Reading({}, 0)


Files = dict[str, str | int]


def tree(place: Path, files: Mapping[str, str | int]) -> Path:
    for name, text in files.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text(f"{text}\n", encoding="utf-8")
    return place


PRESSURE = {
    "cpu": "some avg10=3.67 avg60=1.87 avg300=0.98 total=7836902\n"
    "full avg10=0.00 avg60=0.00 avg300=0.00 total=0",
    "memory": "some avg10=0.00 avg60=0.00 avg300=0.00 total=1500000\n"
    "full avg10=0.00 avg60=0.00 avg300=0.00 total=250000",
    "io": "some avg10=23.88 avg60=5.81 avg300=1.83 total=9632274\n"
    "full avg10=23.32 avg60=5.65 avg300=1.76 total=9136882",
}


def test_pressure_is_the_seconds_tasks_waited(tmp_path: Path, reading: Reading) -> None:
    read_pressure(reading, tree(tmp_path, PRESSURE))

    assert values(reading, "system.linux.pressure.stall_time") == {
        ("cpu", "some"): 7.836902,  # all of a machine never waits for a CPU: "full" says nothing
        ("memory", "some"): 1.5,
        ("memory", "full"): 0.25,
        ("io", "some"): 9.632274,
        ("io", "full"): 9.136882,
    }


def test_a_kernel_without_pressure_says_nothing_of_it(tmp_path: Path, reading: Reading) -> None:
    read_pressure(reading, tmp_path / "pressure")
    assert reading.samples == []


# As Linux 6.1 and 4.18 (no discards, no flushes) write it
DISKSTATS = """\
   7       0 loop0 11 0 28 3 0 0 0 0 0 4 3 0 0 0 0 0 0
   8       0 sda 72812 25309 2811874 20483 13512 39413 6835176 41708 2 17716 65198 4 0 8 1 1907 2031
   8       1 sda1 72000 25309 2811874 20483 13512 39413 6835176 41708 2 17716 65198 4 0 8 1 0 0
   8      16 sdb 10 1 80 5 20 2 160 40 0 30 45
"""


def test_disks_tell_latency_queue_and_flushes(tmp_path: Path, reading: Reading) -> None:
    for disk in ("sda", "sdb"):
        (tmp_path / "block" / disk / "device").mkdir(parents=True)
    tree(tmp_path, {"diskstats": DISKSTATS.rstrip()})

    read_disks(reading, tmp_path / "diskstats", tmp_path / "block")

    assert values(reading, "system.disk.io") == {
        ("sda", "read"): 2811874 * 512,
        ("sda", "write"): 6835176 * 512,
        ("sdb", "read"): 80 * 512,
        ("sdb", "write"): 160 * 512,
    }
    assert values(reading, "system.disk.operations")["sda", "write"] == 13512
    assert values(reading, "system.disk.operation_time")["sda", "write"] == 41.708
    assert values(reading, "system.disk.merged")["sda", "read"] == 25309
    assert values(reading, "system.disk.pending_operations") == {("sda",): 2, ("sdb",): 0}
    assert values(reading, "system.disk.io_time") == {("sda",): 17.716, ("sdb",): 0.03}
    assert values(reading, "system.disk.weighted_io_time") == {("sda",): 65.198, ("sdb",): 0.045}
    assert values(reading, "system.disk.flush.operations") == {("sda",): 1907}
    assert values(reading, "system.disk.flush.operation_time") == {("sda",): 2.031}


MEMINFO = """\
MemTotal:       65536000 kB
MemFree:        10240000 kB
MemAvailable:   20480000 kB
Buffers:         1024000 kB
Cached:          8192000 kB
SwapTotal:       4096000 kB
SwapFree:        3072000 kB
SReclaimable:    2048000 kB
CommitLimit:    36864000 kB
Committed_AS:   70000000 kB
HugePages_Total:       0
Hugepagesize:       2048 kB"""


def test_memory_by_state_adds_up_and_promises_show(tmp_path: Path, reading: Reading) -> None:
    read_memory(reading, tree(tmp_path, {"meminfo": MEMINFO}))

    states = values(reading, "system.memory.usage")
    assert states["free",] == 10240000 * 1024
    assert states["cached",] == (8192000 + 2048000) * 1024
    assert sum(states.values()) == 65536000 * 1024
    assert values(reading, "system.memory.linux.commit.usage") == {(): 70000000 * 1024}
    assert values(reading, "system.memory.linux.commit.limit") == {(): 36864000 * 1024}
    assert values(reading, "system.paging.usage") == {
        ("used",): 1024000 * 1024,
        ("free",): 3072000 * 1024,
    }


def test_faults_swap_traffic_and_processes_ended_for_want_of_memory(
    tmp_path: Path, reading: Reading
) -> None:
    vmstat = "nr_free_pages 1\npswpin 7\npswpout 8\npgfault 100\npgmajfault 10\noom_kill 3"
    read_paging(reading, tree(tmp_path, {"vmstat": vmstat}))

    assert values(reading, "system.paging.operations") == {("in",): 7, ("out",): 8}
    assert values(reading, "system.paging.faults") == {("major",): 10, ("minor",): 90}
    assert values(reading, "system.memory.linux.oom_kills") == {(): 3}


def test_a_kernel_without_swap_still_tells_of_faults(tmp_path: Path, reading: Reading) -> None:
    read_paging(reading, tree(tmp_path, {"vmstat": "pgfault 100\npgmajfault 10"}))
    assert {s.metric.name for s in reading.samples} == {"system.paging.faults"}


HUGEPAGES = {
    "hugepages-2048kB/nr_hugepages": 1024,
    "hugepages-2048kB/free_hugepages": 100,
    "hugepages-2048kB/resv_hugepages": 60,
    "hugepages-2048kB/surplus_hugepages": 4,
    "hugepages-1048576kB/nr_hugepages": 16,
    "hugepages-1048576kB/free_hugepages": 0,
    "hugepages-1048576kB/resv_hugepages": 0,
    "hugepages-1048576kB/surplus_hugepages": 0,
}


def test_huge_pages_of_each_size(tmp_path: Path, reading: Reading) -> None:
    read_hugepages(reading, tree(tmp_path, HUGEPAGES))

    assert values(reading, "system.memory.linux.hugepages.usage") == {
        (2 * 1024**2, "used"): 924,
        (2 * 1024**2, "free"): 100,
        (1024**3, "used"): 16,
        (1024**3, "free"): 0,
    }
    assert values(reading, "system.memory.linux.hugepages.limit")[1024**3,] == 16
    assert values(reading, "system.memory.linux.hugepages.reserved")[2 * 1024**2,] == 60
    assert values(reading, "system.memory.linux.hugepages.surplus")[2 * 1024**2,] == 4


def test_ksm_is_told_in_bytes(tmp_path: Path, reading: Reading) -> None:
    page = os.sysconf("SC_PAGE_SIZE")
    files = {"pages_shared": 10, "pages_sharing": 90, "pages_unshared": 5, "run": 1}

    read_ksm(reading, tree(tmp_path, files))

    assert values(reading, "system.memory.linux.ksm.usage") == {
        ("shared",): 10 * page,
        ("sharing",): 90 * page,
        ("unshared",): 5 * page,
    }


def node(number: int, total: int, free: int, miss: int) -> Files:
    return {
        f"node{number}/meminfo": f"Node {number} MemTotal:       {total} kB\n"
        f"Node {number} MemFree:        {free} kB\nNode {number} HugePages_Total:     0",
        f"node{number}/numastat": f"numa_hit 900\nnuma_miss {miss}\nnuma_foreign 0\n"
        "interleave_hit 20\nlocal_node 880\nother_node 20",
        f"node{number}/hugepages/hugepages-1048576kB/nr_hugepages": 8,
        f"node{number}/hugepages/hugepages-1048576kB/free_hugepages": 8 - number,
    }


def test_each_numa_node_has_its_memory_misses_and_huge_pages(
    tmp_path: Path, reading: Reading
) -> None:
    files: Files = {**node(0, 1000, 10, 0), **node(1, 1000, 900, 77), "has_cpu": "0-1"}
    read_numa(reading, tree(tmp_path, files))

    assert values(reading, "system.memory.linux.numa.limit") == {(0,): 1024000, (1,): 1024000}
    assert values(reading, "system.memory.linux.numa.usage")[0, "free"] == 10240
    assert values(reading, "system.memory.linux.numa.usage")[1, "used"] == 102400
    allocations = values(reading, "system.memory.linux.numa.allocations")
    assert allocations[1, "miss"] == 77
    assert {kind for _node, kind in allocations} == {
        "hit",
        "miss",
        "foreign",
        "interleave",
        "local",
        "other",
    }
    assert values(reading, "system.memory.linux.numa.hugepages.usage") == {
        (0, 1024**3, "used"): 0,
        (0, 1024**3, "free"): 8,
        (1, 1024**3, "used"): 1,
        (1, 1024**3, "free"): 7,
    }


def hardware(place: Path) -> Path:
    """Two monitors as a Xeon with a Supermicro board has them, and a sensor nobody connected."""
    chip, board = place / "devices/coretemp.0", place / "devices/nct6775.656"
    tree(chip, {"x": ""})
    tree(board, {"x": ""})
    cpu: Files = {"name": "coretemp", "temp1_label": "Package id 0", "temp1_input": 61000}
    limits: Files = {"temp1_max": 83000, "temp1_crit": 100000}
    fans: Files = {
        "name": "nct6798",
        "fan1_input": 3200,
        "fan2_input": 0,
        "temp7_input": -2147483648,
    }
    hwmon = place / "hwmon"
    tree(hwmon / "hwmon3", {**cpu, **limits})
    tree(hwmon / "hwmon0", fans)
    (hwmon / "hwmon3/device").symlink_to(chip)
    (hwmon / "hwmon0/device").symlink_to(board)
    return hwmon


def test_temperatures_have_names_limits_and_an_id_that_stays(
    tmp_path: Path, reading: Reading
) -> None:
    read_sensors(reading, hardware(tmp_path))

    package = ("coretemp.0/coretemp/temp1", "coretemp Package id 0", "coretemp.0")
    assert values(reading, "hw.temperature") == {package: 61}
    assert values(reading, "hw.temperature.limit") == {
        (*package, "high.degraded"): 83,
        (*package, "high.critical"): 100,
    }
    assert list(values(reading, "hw.fan.speed").values()) == [3200, 0]


def test_a_virtual_machine_has_no_sensors(tmp_path: Path, reading: Reading) -> None:
    read_sensors(reading, tmp_path / "hwmon")
    assert reading.samples == []


def test_links_tell_whether_they_are_up_and_how_fast(tmp_path: Path, reading: Reading) -> None:
    files: Files = {
        "eth0/operstate": "up",
        "eth0/speed": 10000,
        "eth1/operstate": "down",
        "eth1/speed": -1,
        "br0/operstate": "up",
        "br0/speed": 10000,
    }
    tree(tmp_path, files)
    for name in ("eth0", "eth1"):
        (tmp_path / name / "device").mkdir()

    read_links(reading, tmp_path)

    assert values(reading, "hw.network.up") == {("eth0", "eth0"): 1, ("eth1", "eth1"): 0}
    assert values(reading, "hw.network.bandwidth.limit") == {("eth0", "eth0"): 1_250_000_000}


def test_conntrack_is_told_where_it_is_loaded(tmp_path: Path, reading: Reading) -> None:
    read_conntrack(reading, tmp_path / "none")
    assert reading.samples == []

    read_conntrack(reading, tree(tmp_path, {"nf_conntrack_count": 5, "nf_conntrack_max": 9}))
    assert values(reading, "system.network.conntrack.count") == {(): 5}
    assert values(reading, "system.network.conntrack.max") == {(): 9}


@pytest.mark.parametrize(
    ("state", "status", "synchronized", "offset"),
    [
        (0, 0x2001, 1, -0.0005),
        (0, 0x0001, 1, -0.5),
        (5, 0x2041, 0, -0.0005),
    ],
)
def test_the_clocks_offset_is_in_nano_or_microseconds(
    reading: Reading, state: int, status: int, synchronized: int, offset: float
) -> None:
    read_clock(reading, lambda: (state, Timex(status=status, offset=-500_000, maxerror=16_000)))

    assert values(reading, "system.clock.synchronized") == {(): synchronized}
    assert values(reading, "system.clock.offset") == {(): pytest.approx(offset)}
    assert values(reading, "system.clock.max_error") == {(): pytest.approx(0.016)}


def test_a_sandbox_that_forbids_to_ask_for_the_clock_leaves_it_out(reading: Reading) -> None:
    read_clock(reading, lambda: None)
    assert reading.samples == []


def test_this_machines_kernel_tells_of_its_clock() -> None:
    answer = ask_kernel()
    assert answer is not None
    assert 0 <= answer[0] <= 5
    assert answer[1].maxerror >= 0


def test_a_value_that_cannot_be_read_is_absent(tmp_path: Path) -> None:
    """As the speed of a link that is down: the file is there, and reading it fails."""
    with pytest.raises(OSError, match=os.strerror(errno.EISDIR)):
        tmp_path.read_bytes()
    assert number(tmp_path) is None
    assert number(tmp_path / "none") is None


@given(st.binary())
def test_whatever_a_file_holds_is_a_number_or_none(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    file = tmp_path_factory.getbasetemp() / "number"
    file.write_bytes(data)
    assert number(file) is None or isinstance(number(file), int)


def test_a_table_with_something_else_in_it_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"unpack|literal"):
        table(tree(tmp_path, {"meminfo": "MemTotal:"}) / "meminfo")
