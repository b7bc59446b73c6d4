"""Snapshots that are cut off: by the end of an agent, of libvirtd, or of their time."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import libvirt
import pytest

import creating_child
from creating_world import World, interrupted, order_of, perform, world_of
from delivering import wait_until
from kvm_herd import Herd, herd_of
from lifecycle_contract import Heard
from novacron_agent.providers.kvm.lifecycle import KvmLifecycle
from novacron_agent.providers.lifecycle import EffectFailed, EffectUnknown
from novacron_contract.commands import Order, Verb
from novacron_contract.errors import Unavailable
from novacron_contract.metrics import VmState
from novacron_lab import libvirtd
from snapshot_world import do, images, in_images, listed, made, reads, write

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def herd() -> Iterator[Herd]:
    with herd_of(0) as found:
        yield found


@pytest.fixture(scope="module")
def world(herd: Herd) -> Iterator[World]:
    with (
        tempfile.TemporaryDirectory(prefix="nclab-p-", dir="/tmp") as folder,
        world_of(herd.host, Path(folder)) as found,
    ):
        yield found


@pytest.fixture
def as_before(world: World) -> Iterator[None]:
    before = world.listing()
    yield
    world.clear()
    assert world.listing() == before


@pytest.fixture
def vm(world: World, as_before: None) -> str:
    """Off."""
    return made(world)


def lives(world: World, order: Order, at: int) -> tuple[bool, Heard]:
    """Whether it lived to its end, and what it witnessed."""
    child = subprocess.run(
        (sys.executable, creating_child.__file__, world.host.uri, str(at)),
        input=json.dumps(order.as_json()),
        text=True,
        capture_output=True,
    )
    assert child.returncode in (0, -9), child.stderr
    return child.returncode == 0, Heard(witnessed=child.stdout.splitlines())


@pytest.mark.parametrize("runs", [False, True])
def test_killed_at_every_point_there_is_one_snapshot(world: World, vm: str, runs: bool) -> None:
    if runs:
        do(world, Verb.START, vm)
    for at in itertools.count(1):
        order = order_of(Verb.SNAPSHOT, vm, snapshot=f"at-{at}", memory=runs)
        survived, heard = lives(world, order, at)
        again = perform(world.host.uri, order, heard)
        assert (again.changed, again.detail["snapshot"]) == (True, f"at-{at}")
        names = [f"at-{number}" for number in range(1, at + 1)]
        assert in_images(world, vm) == [names, names]
        assert [one["snapshot"] for one in reversed(listed(world, vm))] == names
        if survived:
            break
    assert at == 3, "before and after the call, and once to the end"


def test_killed_while_a_snapshot_is_deleted_it_is_gone(world: World, vm: str) -> None:
    for at in itertools.count(1):
        do(world, Verb.SNAPSHOT, vm, snapshot="one")
        order = order_of(Verb.DELETE_SNAPSHOT, vm, snapshot="one")
        survived, heard = lives(world, order, at)
        perform(world.host.uri, order, heard)
        assert in_images(world, vm) == [[], []]
        if survived:
            break
    assert at == 3


@pytest.mark.parametrize("runs", [False, True])
def test_what_a_killed_libvirt_left_in_the_images_is_removed_and_made_anew(
    world: World, vm: str, runs: bool
) -> None:
    """It was ordered, and witnessed; images have it, and libvirt does not know it."""
    order = order_of(Verb.SNAPSHOT, vm, snapshot="half", memory=True)
    if runs:
        do(world, Verb.START, vm)
        forgotten = libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_NO_METADATA
        xml = "<domainsnapshot><name>half</name></domainsnapshot>"
        world.conn.lookupByUUIDString(vm).snapshotCreateXML(xml, forgotten)
    else:
        subprocess.run(("qemu-img", "snapshot", "-c", "half", images(world, vm)[0]), check=True)

    perform(world.host.uri, order, Heard(witnessed=["it is made"]))

    assert in_images(world, vm) == [["half"], ["half"]]
    assert [one["snapshot"] for one in listed(world, vm)] == ["half"]


@pytest.mark.parametrize("delay_s", [0.0, 0.01, 0.02, 0.03, 0.04, 0.2])
def test_libvirtd_killed_in_the_middle_leaves_one_snapshot(
    herd: Herd, world: World, vm: str, delay_s: float
) -> None:
    do(world, Verb.START, vm)
    order = order_of(Verb.SNAPSHOT, vm, snapshot="one", memory=True)
    heard = Heard()

    def kill_soon() -> None:
        threading.Timer(delay_s, kill, (herd,)).start()

    with contextlib.suppress(EffectUnknown, Unavailable), interrupted(1, kill_soon):
        perform(world.host.uri, order, heard)
    wait_until(lambda: libvirtd.pid(herd.host) is None, 10)
    herd.lab.up()

    assert heard.evidence == "it is made while the VM runs"
    assert perform(world.host.uri, order, heard).changed
    assert in_images(world, vm) == [["one"], ["one"]]
    assert [(one["snapshot"], one["state"]) for one in listed(world, vm)] == [("one", "running")]
    assert KvmLifecycle(world.host.uri).find(vm, 5).state is VmState.RUNNING


def kill(herd: Herd) -> None:
    pid = libvirtd.pid(herd.host)
    if pid is not None:
        os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("runs", [False, True])
def test_a_snapshot_that_fails_leaves_nothing(world: World, vm: str, runs: bool) -> None:
    if runs:
        do(world, Verb.START, vm)

    def fail() -> None:
        raise libvirt.libvirtError("the disk is on fire")

    with (
        interrupted(1, fail),
        pytest.raises(EffectFailed, match=r"on fire.*nothing is left of it"),
    ):
        do(world, Verb.SNAPSHOT, vm, snapshot="one", memory=runs)
    assert in_images(world, vm) == [[], []]


def test_after_its_time_it_is_looked_at_alone(world: World, vm: str) -> None:
    order = order_of(Verb.SNAPSHOT, vm, snapshot="one")
    lifecycle = KvmLifecycle(world.host.uri)
    with pytest.raises(EffectFailed, match="its time was over"):
        lifecycle.perform(order, Heard(), time.monotonic() - 1)
    assert in_images(world, vm) == [[], []]
    perform(world.host.uri, order)
    assert lifecycle.perform(order, Heard(), time.monotonic() - 1).changed
    lifecycle.close()


def test_killed_while_it_goes_back_it_is_done_once_at_most(world: World, vm: str) -> None:
    """What is witnessed is so; of what is not, nobody says that it was done."""
    do(world, Verb.SNAPSHOT, vm, snapshot="then")
    for at in itertools.count(1):
        write(world, vm, "b")
        order = order_of(Verb.REVERT, vm, snapshot="then")
        survived, heard = lives(world, order, at)
        assert heard.witnessed == (["it is as in snapshot then"] if survived else [])
        assert reads(world, vm) == ({"b"} if at == 1 else {"\0"})
        if survived:
            break
    assert at == 3
