"""Commands to the guests of libvirt's own in-memory hypervisor."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import libvirt
import pytest

from lifecycle_contract import Heard, LifecycleContract, done, force, order
from novacron_agent.providers.kvm import KvmProvider
from novacron_agent.providers.kvm.control import Control, meaning
from novacron_agent.providers.kvm.hanging import hanging_at
from novacron_agent.providers.kvm.lifecycle import KvmLifecycle
from novacron_agent.providers.lifecycle import (
    EffectFailed,
    EffectUnknown,
    Lifecycle,
    NotPossible,
    VmNotFound,
    lifecycle_of,
)
from novacron_contract.commands import Verb
from novacron_contract.errors import NovaCronError, Refused, Unavailable

DOMAIN = """
<domain type='test'><name>commanded</name><memory unit='MiB'>64</memory>
<os><type>hvm</type></os></domain>"""


@pytest.fixture
def conn() -> Iterator[libvirt.virConnect]:
    """Connections to test:///default in one process share its guests."""
    conn = libvirt.open("test:///default")
    yield conn
    for domain in conn.listAllDomains():
        if domain.name() != "test":
            if domain.isActive():
                domain.destroy()
            if domain.isPersistent():
                domain.undefine()
    conn.close()


@pytest.fixture
def kvm(conn: libvirt.virConnect) -> Iterator[Lifecycle]:
    lifecycle = lifecycle_of(KvmProvider(uri="test:///default"))
    assert lifecycle is not None
    yield lifecycle
    lifecycle.close()


class TestKvmLifecycleOnTestDriver(LifecycleContract):
    @pytest.fixture
    def lifecycle(self, kvm: Lifecycle) -> Lifecycle:
        return kvm

    @pytest.fixture
    def vm(self, conn: libvirt.virConnect) -> str:
        domain = conn.defineXML(DOMAIN)
        domain.create()
        return str(domain.UUIDString())

    @pytest.fixture
    def out_of_reach(self, tmp_path: Path) -> Lifecycle:
        return KvmLifecycle(f"qemu+unix:///system?socket={tmp_path}/none")


def test_a_transient_guest_is_gone_with_its_end_and_that_is_told(
    kvm: Lifecycle, conn: libvirt.virConnect
) -> None:
    vm = conn.createXML(DOMAIN).UUIDString()

    ended = force(kvm, vm)

    assert ended.changed
    assert ended.text == "its power was taken away; it was transient: it is gone with its end"
    assert ended.detail == {"transient": True, "forced": True}
    with pytest.raises(VmNotFound):
        kvm.find(vm, 5)


def test_a_guest_that_shuts_down_keeps_its_power_until_then(
    kvm: Lifecycle, conn: libvirt.virConnect
) -> None:
    domain = conn.defineXML(DOMAIN)
    domain.create()

    ended = done(kvm, Verb.STOP, domain.UUIDString(), force="never")

    assert (ended.changed, ended.detail) == (True, {"forced": False})
    assert domain.state()[1] == libvirt.VIR_DOMAIN_SHUTOFF_SHUTDOWN


def test_a_guest_with_saved_memory_is_restored(kvm: Lifecycle, conn: libvirt.virConnect) -> None:
    domain = conn.defineXML(DOMAIN)
    domain.create()
    domain.managedSave()

    started = done(kvm, Verb.START, domain.UUIDString())

    assert (started.changed, started.text) == (True, "restored from its saved memory")
    assert not domain.hasManagedSaveImage()


def test_a_reboot_the_hypervisor_tells_nothing_of_is_believed(
    kvm: Lifecycle, conn: libvirt.virConnect
) -> None:
    domain = conn.defineXML(DOMAIN)
    domain.create()
    heard = Heard()

    asked = kvm.perform(order(Verb.REBOOT, domain.UUIDString()), heard, time.monotonic() + 5)

    assert asked.text == "it was asked to restart"
    assert heard.witnessed == []


def test_a_guest_that_is_off_cannot_be_resumed_into_life(
    kvm: Lifecycle, conn: libvirt.virConnect
) -> None:
    vm = conn.defineXML(DOMAIN).UUIDString()

    with pytest.raises(NotPossible, match="the VM is stopped, and cannot go on"):
        done(kvm, Verb.RESUME, vm)


@pytest.mark.parametrize(
    ("code", "becomes", "says"),
    [
        (libvirt.VIR_ERR_ACCESS_DENIED, Refused, "does not allow it .*docs/install.md"),
        (libvirt.VIR_ERR_AUTH_UNAVAILABLE, Refused, "does not allow it .*docs/install.md"),
        (libvirt.VIR_ERR_NO_DOMAIN, VmNotFound, "this host has no such VM"),
        (libvirt.VIR_ERR_OPERATION_INVALID, NotPossible, "domain is not running"),
        (libvirt.VIR_ERR_INTERNAL_ERROR, EffectFailed, "domain is not running"),
        (libvirt.VIR_ERR_OPERATION_TIMEOUT, EffectUnknown, "asked of it before may still be done"),
    ],
)
def test_an_error_of_libvirt_is_told_by_its_meaning(
    code: int, becomes: type[NovaCronError], says: str
) -> None:
    err = libvirt.libvirtError("domain is not running.\n")
    err.err = (code, 0, "domain is not running.\n", 2, "", "", "", 0, 0)

    assert type(meaning(err, alive=True)) is becomes
    assert re.search(says, str(meaning(err, alive=True)))
    assert type(meaning(err, alive=False)) is EffectUnknown, "who knows whether it arrived"


def test_a_guest_whose_grace_does_not_fit_into_its_time_keeps_its_power(
    conn: libvirt.virConnect, monkeypatch: pytest.MonkeyPatch
) -> None:
    domain = conn.defineXML(DOMAIN)
    domain.create()
    stop = order(Verb.STOP, domain.UUIDString(), grace_s=30)
    kvm = KvmLifecycle("test:///default")
    monkeypatch.setattr(libvirt.virDomain, "shutdownFlags", lambda _domain, _how: 0)

    with pytest.raises(EffectFailed, match="within 1 s; its power was not taken"):
        kvm.perform(stop, Heard(), time.monotonic() + 1)

    assert domain.isActive()
    kvm.close()


def test_a_guest_that_had_its_grace_loses_its_power(
    conn: libvirt.virConnect, monkeypatch: pytest.MonkeyPatch
) -> None:
    domain = conn.defineXML(DOMAIN)
    domain.create()
    kvm = KvmLifecycle("test:///default")
    monkeypatch.setattr(libvirt.virDomain, "shutdownFlags", lambda _domain, _how: 0)

    stop = order(Verb.STOP, domain.UUIDString(), grace_s=1)
    ended = kvm.perform(stop, Heard(), time.monotonic() + 10)

    assert ended.detail == {"forced": True}
    assert not domain.isActive()
    kvm.close()


@pytest.fixture
def hang() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()
    until = time.monotonic() + 10
    while hanging_at("test:///default").number:
        assert time.monotonic() < until
        time.sleep(0.01)


def test_a_vm_whose_state_hangs_takes_one_thread_however_often_it_is_looked_at(
    conn: libvirt.virConnect, hang: threading.Event
) -> None:
    controls = [Control("test:///default"), Control("test:///default")]  # as after new settings
    looks: list[float] = []

    def look(_conn: libvirt.virConnect) -> None:
        looks.append(time.monotonic())
        hang.wait(60)

    for number in range(4):
        with pytest.raises((EffectUnknown, Unavailable)):
            controls[number % 2].ask("one", look, 0, step="look")

    assert len(looks) == 1
    hang.set()
    assert controls[0].ask("one", lambda _: 7, time.monotonic() + 10, step="look") == 7
    for control in controls:
        control.close()


def test_what_hangs_has_a_limit_for_whatever_is_asked(
    hang: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("novacron_agent.providers.kvm.control._SLACK_S", 0.05)
    control = Control("test:///default")
    for number in range(4):
        with pytest.raises(EffectUnknown):
            control.ask(f"{number}", lambda _: hang.wait(60), 0)
    with pytest.raises(Unavailable, match="4 calls hang"):
        control.ask("other", lambda _: 1, time.monotonic() + 10)
    for number in range(4):
        with pytest.raises(EffectUnknown):
            control.ask(f"{number}", lambda _: hang.wait(60), 0, step="look")
    with pytest.raises(Unavailable, match="8 calls hang"):
        control.ask("other", lambda _: 1, time.monotonic() + 10, step="look")
    control.close()


def test_a_guest_that_may_yet_start_is_not_said_to_be_off(
    conn: libvirt.virConnect, hang: threading.Event
) -> None:
    vm = conn.defineXML(DOMAIN).UUIDString()
    before, after = Control("test:///default"), KvmLifecycle("test:///default")
    with pytest.raises(EffectUnknown):
        before.ask(vm, lambda _: hang.wait(60), 0)

    with pytest.raises(Unavailable, match="is off, but an earlier call for it still hangs"):
        done(after, Verb.STOP, vm)
    before.close()
    after.close()


def test_a_guest_that_leaves_this_host_while_it_is_waited_for_is_not_said_to_be_off(
    kvm: Lifecycle, conn: libvirt.virConnect, monkeypatch: pytest.MonkeyPatch
) -> None:
    domain = conn.defineXML(DOMAIN)
    domain.create()

    def leave(left: libvirt.virDomain, _how: int) -> None:
        left.undefine()
        left.destroy()

    monkeypatch.setattr(libvirt.virDomain, "shutdownFlags", leave)

    with pytest.raises(EffectUnknown, match="is gone from this host"):
        done(kvm, Verb.STOP, domain.UUIDString(), grace_s=5)
