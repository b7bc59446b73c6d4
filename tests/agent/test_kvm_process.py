"""A QEMU process as /proc and its control group show it, and the schedule of what it is asked."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import time
from pathlib import Path

import libvirt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from novacron_agent.providers.kvm.poll import Candidate, Schedule
from novacron_agent.providers.kvm.process import Process

BLOCK, BALLOON = libvirt.VIR_DOMAIN_STATS_BLOCK, libvirt.VIR_DOMAIN_STATS_BALLOON
VCPU, CPU = libvirt.VIR_DOMAIN_STATS_VCPU, libvirt.VIR_DOMAIN_STATS_CPU_TOTAL
SCOPE = r"machine.slice/machine-qemu\x2d1\x2dweb.scope"


class Tree:
    """A recorded /proc and /sys/fs/cgroup with one QEMU of two virtual CPUs."""

    def __init__(self, root: Path) -> None:
        self.proc, self.cgroup, self.pid_file = root / "proc", root / "cgroup", root / "web.pid"
        self.pid_file.write_text("4711\n")
        self.stat()
        self.write("4711/cgroup", f"0::/{SCOPE}/libvirt/emulator\n")
        names = {1: "qemu-system-x86", 2: "CPU 0/KVM", 3: "CPU 1/KVM", 4: "worker"}
        for thread, name in names.items():
            self.write(f"4711/task/{thread}/comm", name + "\n")
            self.write(f"4711/task/{thread}/schedstat", f"{thread}000000000 {thread}500000000 7\n")
        self.scope("cpu.stat", "usage_usec 12500000\nuser_usec 10000000\nsystem_usec 2500000\n")
        self.scope("io.stat", "8:0 rbytes=4096 wbytes=100 rios=1\n8:16 rbytes=4 wbytes=1 rios=1\n")

    def stat(self, name: str = "qemu) R 1 (x", state: str = "S", started: int = 99) -> None:
        fields = [state, *["0"] * 10, "300", "50", *["0"] * 6, str(started), "0", "1000", "0"]
        self.write("4711/stat", f"4711 ({name}) {' '.join(fields)}\n")

    def write(self, path: str, text: str) -> None:
        (self.proc / path).parent.mkdir(parents=True, exist_ok=True)
        (self.proc / path).write_text(text)

    def scope(self, name: str, text: str) -> None:
        (self.cgroup / SCOPE).mkdir(parents=True, exist_ok=True)
        (self.cgroup / SCOPE / name).write_text(text)

    def process(self) -> Process:
        process = Process.of(self.pid_file, self.proc, self.cgroup)
        assert process is not None
        return process


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path)


def test_cpu_and_io_are_those_of_the_control_group(tree: Tree) -> None:
    usage = tree.process().usage()

    assert usage is not None
    assert usage.cpu_s == 12.5
    assert usage.io == {"read": 4100, "write": 101}
    assert usage.rss == 1000 * os.sysconf("SC_PAGE_SIZE")
    assert usage.vcpus == {0: (2.0, 2.5), 1: (3.0, 3.5)}
    assert not usage.is_stopped


def test_without_a_control_group_of_its_own_cpu_is_that_of_the_process(tree: Tree) -> None:
    for group in ("0::/user.slice/session-1.scope\n", "0::/\n", "9:cpu:/machine\n"):
        tree.write("4711/cgroup", group)
        usage = tree.process().usage()
        assert usage is not None
        assert usage.cpu_s == 350 / os.sysconf("SC_CLK_TCK")
        assert usage.io is None


def test_a_process_stopped_by_a_signal_is_seen_to_be(tree: Tree) -> None:
    process = tree.process()
    tree.stat(state="T")
    usage = process.usage()
    assert usage is not None
    assert usage.is_stopped


def test_another_process_with_its_number_is_not_taken_for_it(tree: Tree) -> None:
    process = tree.process()
    tree.stat(started=100)
    assert process.usage() is None


def test_virtual_cpus_that_come_and_go_are_found(tree: Tree) -> None:
    process = tree.process()
    assert process.usage() is not None
    (tree.proc / "4711/task/3/schedstat").unlink()
    (tree.proc / "4711/task/3/comm").unlink()
    process.usage()
    usage = process.usage()
    assert usage is not None
    assert usage.vcpus.keys() == {0}


@pytest.mark.parametrize("said", ["", "x", "-1", "99999999999", "4711 4712"])
def test_a_pid_file_that_names_no_process_is_none(tree: Tree, said: str) -> None:
    tree.pid_file.write_text(said)
    assert Process.of(tree.pid_file, tree.proc, tree.cgroup) is None


def test_a_real_process_uses_what_the_kernel_says(tmp_path: Path) -> None:
    pid_file = tmp_path / "busy.pid"
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as busy:
        pid_file.write_text(str(busy.pid))
        process = Process.of(pid_file)
        assert process is not None
        deadline = time.monotonic() + 20
        while (usage := process.usage()) is not None and usage.cpu_s < 0.2:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert usage is not None
        assert 2**20 < usage.rss < 2**30
        busy.kill()
    assert process.usage() is None


@given(
    st.lists(st.tuples(st.booleans(), st.booleans()), max_size=12),
    st.sampled_from([1.0, 10.0, 30.0]),
    st.sampled_from([10.0, 30.0, 60.0]),
)
def test_everybody_is_asked_at_once_and_then_at_his_interval(
    kinds: list[tuple[bool, bool]], tick: float, every: float
) -> None:
    guests = [Candidate(f"g{n}", 1, *kind) for n, kind in enumerate(kinds)]
    schedule = Schedule(dict.fromkeys((BLOCK, BALLOON, VCPU, CPU), every))
    asked: dict[str, list[float]] = {}
    for number in range(40):
        now = number * tick
        for who in schedule.take(guests, now):
            asked.setdefault(who.uuid, []).append(now)
            guest = guests[int(who.uuid[1:])]
            assert bool(who.groups & BALLOON) == guest.running
            assert bool(who.groups & VCPU) == (guest.running and not guest.measured)
    for guest in guests:
        times = asked[guest.uuid]
        assert times[0] == 0
        interval = every if guest.running else 10 * every
        apart = [later - before for before, later in itertools.pairwise(times)]
        assert all(gap <= max(interval, tick) + tick for gap in apart)
        assert len(times) <= 40 * tick / interval + 3


def test_a_guest_in_a_job_is_looked_at_every_time_and_a_new_run_at_once() -> None:
    schedule = Schedule(dict.fromkeys((BLOCK, BALLOON), 30.0))
    guest = Candidate("g", 1, running=True, measured=True)
    assert [a.job for a in schedule.take([guest], 0)] == [True]
    assert schedule.take([guest], 1) == []
    schedule.working.add("g")
    assert [(a.groups, a.job) for a in schedule.take([guest], 2)] == [(0, True)]
    schedule.working.clear()
    again = Candidate("g", 2, running=True, measured=True)
    assert [a.groups for a in schedule.take([again], 3)] == [BLOCK | BALLOON]
