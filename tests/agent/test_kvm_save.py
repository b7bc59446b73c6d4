"""Saves that take long, on libvirt's own in-memory hypervisor."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import libvirt
import pytest

from lifecycle_contract import Heard, done, force, order
from novacron_agent.providers.kvm.lifecycle import KvmLifecycle
from novacron_agent.providers.lifecycle import EffectFailed, NotPossible
from novacron_contract.commands import Verb
from novacron_contract.errors import NovaCronError, Refused
from novacron_contract.metrics import VmState

DOMAIN = """
<domain type='test'><name>saved</name><memory unit='MiB'>64</memory>
<os><type>hvm</type></os></domain>"""
_TOLD = {
    "operation": libvirt.VIR_DOMAIN_JOB_OPERATION_SAVE,
    "memory_total": 1000,
    "memory_processed": 250,
}
_DISCARDED = "its saved memory was discarded"


def error(code: int, said: str) -> libvirt.libvirtError:
    err = libvirt.libvirtError(said)
    err.err = (code, 0, said, 2, "", "", "", 0, 0)
    return err


@dataclass
class Slow:
    """A save that ends when it is aborted, or let go. `is_late`: it was through by then; `is_lost`:
    it failed, and took the guest with it."""

    is_late: bool = False
    is_lost: bool = False
    aborted: threading.Event = field(default_factory=threading.Event)
    ended: threading.Event = field(default_factory=threading.Event)

    def save(self, original: Any, domain: libvirt.virDomain) -> int:
        self.ended.wait(30)
        if self.is_late or not self.aborted.is_set():
            original(domain)
        if self.is_lost:
            domain.destroy()
        if not self.aborted.is_set():
            return 0
        raise error(libvirt.VIR_ERR_OPERATION_ABORTED, "domain save job: canceled by client")

    def abort(self) -> int:
        self.aborted.set()
        self.ended.set()
        return 0


@pytest.fixture
def domain() -> Iterator[libvirt.virDomain]:
    conn = libvirt.open("test:///default")
    domain = conn.defineXML(DOMAIN)
    domain.create()
    yield domain
    if domain.isActive():
        domain.destroy()
    domain.undefineFlags(libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE)
    conn.close()


@pytest.fixture
def kvm() -> Iterator[KvmLifecycle]:
    lifecycle = KvmLifecycle("test:///default")
    yield lifecycle
    lifecycle.close()


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Slow:
    slow, original = Slow(), libvirt.virDomain.managedSave
    kind = libvirt.virDomain
    monkeypatch.setattr(kind, "managedSave", lambda domain, *_: slow.save(original, domain))
    monkeypatch.setattr(kind, "abortJob", lambda _domain: slow.abort())
    monkeypatch.setattr(kind, "jobStats", lambda _domain: dict(_TOLD))
    return slow


def test_one_that_takes_too_long_is_given_up_and_the_guest_goes_on(
    kvm: KvmLifecycle, domain: libvirt.virDomain, slow: Slow
) -> None:
    heard = Heard()
    with pytest.raises(EffectFailed, match=r"not saved in time.*is running as before.*longer"):
        kvm.perform(order(Verb.SAVE, domain.UUIDString()), heard, time.monotonic() + 1.2)
    assert slow.aborted.is_set()
    assert heard.told[0] == "its memory is being saved"
    assert heard.told[-1] == "its time is over: it is given up"
    assert kvm.find(domain.UUIDString(), 5).state is VmState.RUNNING


def test_one_that_was_through_when_it_was_given_up_is_saved(
    kvm: KvmLifecycle, domain: libvirt.virDomain, slow: Slow
) -> None:
    slow.is_late = True
    saved = kvm.perform(order(Verb.SAVE, domain.UUIDString()), Heard(), time.monotonic() + 1)
    assert (saved.changed, saved.detail) == (True, {"saved": True})
    assert domain.hasManagedSaveImage()


def test_how_far_it_is_is_told(
    kvm: KvmLifecycle, domain: libvirt.virDomain, slow: Slow, monkeypatch: pytest.MonkeyPatch
) -> None:
    shares: list[float | None] = []
    monkeypatch.setattr(Heard, "tell", lambda _heard, _text, share=None: shares.append(share))
    threading.Timer(1.2, slow.ended.set).start()
    assert done(kvm, Verb.SAVE, domain.UUIDString()).changed
    assert set(shares) == {0.25}


def test_what_else_is_done_with_it_is_not_given_up(
    kvm: KvmLifecycle, domain: libvirt.virDomain, slow: Slow, monkeypatch: pytest.MonkeyPatch
) -> None:
    backup = {"operation": libvirt.VIR_DOMAIN_JOB_OPERATION_BACKUP}
    monkeypatch.setattr(libvirt.virDomain, "jobStats", lambda _domain: backup)
    threading.Timer(2, slow.ended.set).start()
    assert kvm.perform(order(Verb.SAVE, domain.UUIDString()), Heard(), time.monotonic() + 1).changed
    assert not slow.aborted.is_set()


def test_one_that_is_off_without_an_image_when_its_time_is_over_has_failed(
    kvm: KvmLifecycle, domain: libvirt.virDomain, slow: Slow
) -> None:
    slow.is_lost = True
    with pytest.raises(EffectFailed, match="not saved in time, and now: the VM is stopped"):
        kvm.perform(order(Verb.SAVE, domain.UUIDString()), Heard(), time.monotonic() + 1)


@pytest.fixture
def being_saved(
    domain: libvirt.virDomain, monkeypatch: pytest.MonkeyPatch
) -> Callable[[float], None]:
    """By somebody else, who is through after so many seconds."""
    through, original = threading.Event(), libvirt.virDomain.state
    saving = [libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_SAVE]

    def state(one: libvirt.virDomain, flags: int = 0) -> list[int]:
        return original(one, flags) if through.is_set() else saving

    def end() -> None:
        domain.managedSave()
        through.set()

    monkeypatch.setattr(libvirt.virDomain, "state", state)
    return lambda after: threading.Timer(after, end).start()


@pytest.mark.parametrize("how", ["after-grace", "never"])
def test_the_power_of_one_that_is_being_saved_is_not_taken(
    kvm: KvmLifecycle, domain: libvirt.virDomain, being_saved: Callable[[float], None], how: str
) -> None:
    vm = domain.UUIDString()
    with pytest.raises(EffectFailed, match=r"being saved, and its power was not taken.*force=now"):
        kvm.perform(order(Verb.STOP, vm, force=how, grace_s=0), Heard(), time.monotonic() + 0.6)
    assert domain.isActive()

    being_saved(0.7)
    assert not done(kvm, Verb.STOP, vm, force=how, grace_s=0).changed
    assert domain.hasManagedSaveImage()
    assert done(kvm, Verb.START, vm).detail["restored"]


def test_so_it_is_with_one_that_was_suspended_before(
    kvm: KvmLifecycle, domain: libvirt.virDomain, slow: Slow
) -> None:
    """Its state says nothing of a save then."""
    domain.suspend()
    with pytest.raises(EffectFailed, match="being saved, and its power was not taken"):
        kvm.perform(order(Verb.STOP, domain.UUIDString()), Heard(), time.monotonic() + 0.3)
    assert domain.isActive()


def test_the_power_of_one_that_is_being_saved_is_taken_by_force(
    kvm: KvmLifecycle, domain: libvirt.virDomain, being_saved: Callable[[float], None]
) -> None:
    assert force(kvm, domain.UUIDString()).detail == {"forced": True}
    assert not domain.isActive()


def test_one_whose_save_begins_while_it_is_asked_to_shut_down_keeps_its_power(
    kvm: KvmLifecycle, domain: libvirt.virDomain, monkeypatch: pytest.MonkeyPatch
) -> None:
    saving = [libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_SAVE]

    def begin(_domain: libvirt.virDomain, _how: int) -> None:
        monkeypatch.setattr(libvirt.virDomain, "state", lambda _domain: saving)

    monkeypatch.setattr(libvirt.virDomain, "shutdownFlags", begin)
    stop = order(Verb.STOP, domain.UUIDString(), grace_s=1)
    with pytest.raises(EffectFailed, match="being saved, and its power was not taken"):
        kvm.perform(stop, Heard(), time.monotonic() + 2)
    assert domain.isActive()


def test_one_that_is_being_saved_is_started_when_that_is_through(
    kvm: KvmLifecycle, domain: libvirt.virDomain, being_saved: Callable[[float], None]
) -> None:
    vm = domain.UUIDString()
    for verb in (Verb.START, Verb.SUSPEND):
        with pytest.raises(EffectFailed, match="being saved: order it again"):
            kvm.perform(order(verb, vm), Heard(), time.monotonic() + 0.3)

    being_saved(0.7)
    started = done(kvm, Verb.START, vm)
    assert (started.changed, started.detail["restored"]) == (True, True)
    assert kvm.find(vm, 5).state is VmState.RUNNING


def test_what_is_saved_after_the_old_image_was_discarded_is_kept(
    kvm: KvmLifecycle, domain: libvirt.virDomain
) -> None:
    vm, heard = domain.UUIDString(), Heard()
    done(kvm, Verb.SAVE, vm)
    start = order(Verb.START, vm, discard_saved=True)
    assert kvm.perform(start, heard, time.monotonic() + 5).detail == {"restored": False}
    assert heard.witnessed == [_DISCARDED]

    done(kvm, Verb.SAVE, vm)
    again = kvm.perform(start, heard, time.monotonic() + 5)  # by an agent that was killed
    assert again.detail["restored"] is True


@pytest.mark.parametrize(
    ("code", "becomes", "says"),
    [
        (libvirt.VIR_ERR_OPERATION_FAILED, NotPossible, "discard_saved"),
        (libvirt.VIR_ERR_XML_ERROR, NotPossible, "discard_saved"),
        (libvirt.VIR_ERR_ACCESS_DENIED, Refused, "does not allow it"),
        (libvirt.VIR_ERR_RPC, EffectFailed, "^what libvirt said$"),
        (libvirt.VIR_ERR_SYSTEM_ERROR, EffectFailed, "^what libvirt said$"),
    ],
)
def test_nobody_is_told_to_discard_an_image_of_which_nothing_is_known(
    kvm: KvmLifecycle,
    domain: libvirt.virDomain,
    monkeypatch: pytest.MonkeyPatch,
    code: int,
    becomes: type[NovaCronError],
    says: str,
) -> None:
    def fail(_domain: libvirt.virDomain) -> None:
        raise error(code, "what libvirt said")

    done(kvm, Verb.SAVE, domain.UUIDString())
    monkeypatch.setattr(libvirt.virDomain, "managedSaveGetXMLDesc", fail)
    for verb in (Verb.SAVE, Verb.START):
        with pytest.raises(becomes, match=says) as told:
            done(kvm, verb, domain.UUIDString())
        assert type(told.value) is becomes
    assert domain.hasManagedSaveImage()


def test_one_whose_firmware_keeps_its_settings_keeps_its_name_and_they_stay(
    kvm: KvmLifecycle, domain: libvirt.virDomain
) -> None:
    firmware = "<loader readonly='yes' type='pflash'>/c.fd</loader><nvram>/a_VARS.fd</nvram></os>"
    xml = DOMAIN.replace("</os>", firmware)
    one, other = (
        domain.connect().defineXML(xml.replace("saved", name)) for name in ("one", "other")
    )
    with pytest.raises(NotPossible, match=r"firmware keeps its settings .*it keeps its name"):
        done(kvm, Verb.RENAME, one.UUIDString(), new_name="another")
    assert one.name() == "one"
    assert {"kind": "nvram", "name": "/a_VARS.fd", "why": "VM 'other' uses it"} in done(
        kvm, Verb.DELETE, one.UUIDString(), plan=True
    ).detail["kept"]
    one.undefine()
    other.undefine()


def test_what_is_gone_with_its_end_is_not_saved_and_only_resized_live(
    kvm: KvmLifecycle, monkeypatch: pytest.MonkeyPatch
) -> None:
    conn = libvirt.open("test:///default")
    domain = conn.createXML(DOMAIN.replace("saved", "passing"))
    with pytest.raises(NotPossible, match="transient"):
        done(kvm, Verb.SAVE, domain.UUIDString())
    assert domain.isActive()
    with pytest.raises(NotPossible, match="does not tell how much it can do without"):
        done(kvm, Verb.RESIZE, domain.UUIDString(), memory_mib=32)
    told = {"usable": 48 * 1024, "last_update": int(time.time())}
    monkeypatch.setattr(libvirt.virDomain, "memoryStats", lambda _domain: told)
    resized = done(kvm, Verb.RESIZE, domain.UUIDString(), memory_mib=32)
    assert resized.detail == {"memory_mib": {"now": 32}}
    with pytest.raises(NotPossible, match="was started with 64 MiB at most"):
        done(kvm, Verb.RESIZE, domain.UUIDString(), memory_mib=128)
    domain.destroy()
    conn.close()
