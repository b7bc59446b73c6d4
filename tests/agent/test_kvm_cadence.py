"""Guests keep their cadence beside one that hangs, moves or is saved, and when libvirtd goes.

A few guests here; `make chaos-guests` runs it with a hundred (GUESTS=).
"""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import libvirt
import pytest

from kvm_herd import Herd, herd_of
from kvm_ticks import Ticks
from novacron_agent.readings import Reading
from novacron_contract.metrics import VM_NAME
from novacron_lab import libvirtd
from novacron_lab.plan import GUESTS
from provider_contract import states, values

pytestmark = [pytest.mark.lab, pytest.mark.timeout(900)]
log = logging.getLogger(__name__)
_COUNT = int(os.environ.get("GUESTS", "8"))
_TICK_S = float(os.environ.get("TICK", "1"))
_ARE_MANY = _COUNT >= 100
_LONG_TICK_S = 5.0 if _ARE_MANY else 2.0  # half of the default, at most
_DISKS = 3 if _ARE_MANY else 1  # ticks: three are the default's
_WORKING = GUESTS[0]
_WAITED_S = 3.5  # for a guest that is busy, or hangs in the middle of a question
_HUNG_TICKS = 4
_BACK_TICKS = 2 + _DISKS


@pytest.fixture(scope="module")
def world() -> Iterator[Herd]:
    """A herd, and one guest that works."""
    with herd_of(_COUNT, (_WORKING,)) as found:
        found.lab.wait_until_up()
        yield found


@pytest.fixture
def working(world: Herd) -> libvirt.virDomain:
    return world.conn.lookupByName(_WORKING.name)


@contextmanager
def measured(world: Herd, tick_s: float = _TICK_S) -> Iterator[Ticks]:
    ticks = Ticks(world.host.uri, tick_s, _DISKS * tick_s)
    try:
        ticks.tick(1 + _DISKS)
        yield ticks
    finally:
        ticks.close()


@contextmanager
def meanwhile(act: Callable[[], Any]) -> Iterator[Future[Any]]:
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(act)


@contextmanager
def hung(world: Herd, ticks: Ticks, name: str, *, amid: bool = False) -> Iterator[None]:
    """Stopped between two ticks, or in the middle of the questions of the next one; it must be
    flagged within two ticks, and be back when it goes on."""
    delay = max(0.0, ticks.due - time.monotonic()) + 0.1 if amid else 0.0
    timer = threading.Timer(delay, os.kill, (world.qemu(name), signal.SIGSTOP))
    before = len(ticks.responding)
    timer.start()
    try:
        yield
    finally:
        timer.join()
        os.kill(world.qemu(name), signal.SIGCONT)
    said = [tick.get(name) for tick in ticks.responding[before:]]
    measured_before = len(ticks.disks[name])
    ticks.tick(_BACK_TICKS)
    back = [tick.get(name) for tick in ticks.responding[before + len(said) :]]
    log.info("%s: stopped, then responding %s; goes on, then %s", name, said, back)
    assert 0 in said[: 2 + amid], "flagged within two ticks"
    assert 1 not in said[said.index(0) :]
    assert back[-1] == 1
    assert len(ticks.disks[name]) > measured_before, "it is measured again by itself"


def others(world: Herd, *names: str) -> list[str]:
    return [name for name in (*world.names, _WORKING.name) if name not in names]


def of(found: list[Reading], name: str) -> Reading:
    [reading] = [one for one in found if one.resource[VM_NAME] == name]
    return reading


# Who hangs in the middle of a question is waited for, longer than the shortest ticks take.
@pytest.mark.parametrize(
    ("amid", "tick_s"), [(False, _TICK_S), *([(True, _LONG_TICK_S)] if _ARE_MANY else [])]
)
def test_a_guest_that_hangs_is_flagged_and_holds_up_nobody(
    world: Herd, amid: bool, tick_s: float
) -> None:
    stuck = world.names[_COUNT // 2]
    with measured(world, tick_s) as ticks:
        assert set(ticks.responding[-1].values()) == {1}
        with hung(world, ticks, stuck, amid=amid):
            ticks.tick(_HUNG_TICKS)
            everybody = {name: float(name != stuck) for name in (*world.names, _WORKING.name)}
            assert ticks.responding[-1] == everybody
        ticks.judge("one hangs", others(world, stuck), _WAITED_S if amid else 0)
        assert ticks.missed(ticks.network, [stuck], tick_s) == {stuck: 0}, "nobody is asked for it"


def test_a_migration_shows_how_far_it_is_and_holds_up_nobody(
    world: Herd, working: libvirt.virDomain
) -> None:
    """It is given so little bandwidth that it takes its time, and is called off in the end. One
    guest hangs meanwhile."""
    there, stuck = world.lab.hosts[1], world.names[0]
    target = libvirt.open(there.uri)
    flags = libvirt.VIR_MIGRATE_LIVE | libvirt.VIR_MIGRATE_UNSAFE
    [guest] = world.lab.guests
    said = guest.console.read_bytes()  # the other host's QEMU begins this file anew
    progress: list[float] = []

    def migrate() -> None:
        working.migrate(target, flags, None, f"tcp:{there.address}", 1)  # MiB a second

    with measured(world) as ticks:
        with hung(world, ticks, stuck), meanwhile(migrate) as moving:
            try:
                for _ in range(_HUNG_TICKS + 3):
                    found = of(ticks.tick(), _WORKING.name)
                    progress += values(found, "libvirt.job.data.processed").values()
            finally:
                working.abortJob()
            with pytest.raises(libvirt.libvirtError, match="cancel"):
                moving.result(30)
        ticks.judge("a migration, and one hangs", others(world, stuck, _WORKING.name), _WAITED_S)
        assert ticks.missed(ticks.network, [_WORKING.name], _TICK_S) == {_WORKING.name: 0}
        last = ticks.tick()
    guest.console.write_bytes(said)
    assert progress == sorted(progress)
    assert len(set(progress)) >= 3
    assert values(of(last, _WORKING.name), "libvirt.job.data.processed") == {}
    target.close()


def test_a_guest_that_is_saved_holds_up_nobody(world: Herd, working: libvirt.virDomain) -> None:
    """One guest hangs meanwhile."""
    stuck = world.names[0]
    with measured(world) as ticks:
        with hung(world, ticks, stuck):
            tick_until_done(ticks, working.managedSave)
            assert becomes(ticks, "stopped")
            tick_until_done(ticks, working.create)
        assert becomes(ticks, "running")
        ticks.judge("a managed save, and one hangs", others(world, stuck, _WORKING.name), _WAITED_S)


def becomes(ticks: Ticks, state: str) -> bool:
    """What is told late comes with the next tick."""
    return any(
        states(one).get(state) == 1
        for _ in range(3)
        for one in ticks.tick()
        if one.resource[VM_NAME] == _WORKING.name
    )


def tick_until_done(ticks: Ticks, act: Callable[[], Any]) -> None:
    with meanwhile(act) as doing:
        while not doing.done():
            ticks.tick()
        doing.result()


def test_libvirtd_is_killed_and_started_again_without_a_missed_tick(world: Herd) -> None:
    """One guest hangs meanwhile. It must find its QEMUs again, which takes it a while with many."""
    stuck = world.names[0]

    def restart() -> float:
        time.sleep(max(0.0, ticks.due - time.monotonic() - 0.1))  # it is away when the tick comes
        pid = libvirtd.pid(world.host)
        assert pid is not None
        began = time.monotonic()
        os.kill(pid, signal.SIGKILL)
        libvirtd.start(world.host, world.lab.hosts, world.lab.cache / "libvirt")
        return time.monotonic() - began

    with measured(world, _LONG_TICK_S) as ticks:
        with hung(world, ticks, stuck), meanwhile(restart) as restarting:
            ticks.tick(_HUNG_TICKS)
            log.info("libvirtd was away for %.2f s", restarting.result(60))
        ticks.judge("libvirtd is restarted, and one hangs", others(world, stuck), _WAITED_S)
