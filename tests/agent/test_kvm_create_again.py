"""A create whose agent was killed, while libvirt goes on with what it was asked for."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import libvirt
import pytest

from lifecycle_contract import Heard, order
from novacron_agent.providers.kvm.creating.undo import DEFINES, MAKES
from novacron_agent.providers.kvm.lifecycle import KvmLifecycle
from novacron_agent.providers.kvm.owned import volumes_of
from novacron_agent.providers.lifecycle import EffectFailed, EffectUnknown
from novacron_contract.commands import Order, Verb

URI = "test:///default"
DISK = {"size_gib": 1, "pool": "default-pool"}


@pytest.fixture
def conn() -> Iterator[libvirt.virConnect]:
    """The same hypervisor as the lifecycle's: it is one of the process."""
    conn = libvirt.open(URI)
    yield conn
    conn.close()


@pytest.fixture
def kvm(conn: libvirt.virConnect) -> Iterator[KvmLifecycle]:
    found = KvmLifecycle(conn.getURI())
    yield found
    found.close()


def create() -> Order:
    spec = {"name": "again", "memory_mib": 64, "disks": [DISK]}
    return order(Verb.CREATE, str(uuid.uuid4()), spec=spec)


def volume(conn: libvirt.virConnect, vm: str) -> None:
    """As the agent had ordered it that was killed."""
    name = f"<name>novacron-{vm}-disk0.qcow2</name>"
    pool = conn.storagePoolLookupByName("default-pool")
    pool.createXML(f"<volume>{name}<capacity unit='MiB'>1</capacity></volume>", 0)


def remove(conn: libvirt.virConnect, vm: str) -> None:
    domain = conn.lookupByUUIDString(vm)
    domain.destroy()
    domain.undefine()
    for one in volumes_of(conn, vm):
        one.delete(0)


def failing(original: Callable[..., Any], code: int, times: int) -> Callable[..., Any]:
    """The first calls fail so."""
    left = [None] * times

    def call(*args: Any) -> Any:
        if not left:
            return original(*args)
        left.pop()
        err = libvirt.libvirtError("it is in the middle of it")
        err.err = (code, 0, "it is in the middle of it", 0, "", None, None, 0, 0)
        raise err

    return call


@pytest.mark.parametrize(
    ("code", "times"), [(libvirt.VIR_ERR_NO_STORAGE_VOL, 1), (libvirt.VIR_ERR_INTERNAL_ERROR, 2)]
)
def test_what_libvirt_is_in_the_middle_of_is_waited_for(
    kvm: KvmLifecycle,
    conn: libvirt.virConnect,
    monkeypatch: pytest.MonkeyPatch,
    code: int,
    times: int,
) -> None:
    """A volume is listed before its file is there, and cannot be looked at."""
    asked = create()
    volume(conn, asked.vm_id)
    looks = failing(libvirt.virStorageVol.XMLDesc, code, times)
    monkeypatch.setattr(libvirt.virStorageVol, "XMLDesc", looks)

    done = kvm.perform(asked, Heard(witnessed=[MAKES]), time.monotonic() + 60)

    assert done.detail["state"] == "running"
    assert len(volumes_of(conn, asked.vm_id)) == 1
    remove(conn, asked.vm_id)


def test_what_comes_late_of_an_agent_that_was_killed_is_not_left(
    kvm: KvmLifecycle, conn: libvirt.virConnect, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = create()
    lists = libvirt.virStoragePool.listVolumes
    looked: list[None] = []

    def list_volumes(pool: libvirt.virStoragePool) -> list[str]:
        looked.append(None)
        if len(looked) == 2:  # after what was there has been removed
            volume(conn, asked.vm_id)
        return list(lists(pool))

    monkeypatch.setattr(libvirt.virStoragePool, "listVolumes", list_volumes)
    with pytest.raises(EffectFailed, match=r"is of a VM of this UUID.* is removed\)"):
        kvm.perform(asked, Heard(witnessed=[MAKES]), time.monotonic() + 60)

    assert volumes_of(conn, asked.vm_id) == []


def test_one_that_libvirt_is_starting_is_looked_at_again(
    kvm: KvmLifecycle, conn: libvirt.virConnect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the agent had asked that was killed: it looks like one that comes from elsewhere."""
    asked = create()
    kvm.perform(asked, Heard(), time.monotonic() + 60)
    starting = [libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_STARTING_UP]
    with monkeypatch.context() as patch:
        patch.setattr(libvirt.virDomain, "state", lambda _domain: starting)
        with pytest.raises(EffectUnknown, match="it starts just now, or moves to another host"):
            kvm.perform(asked, Heard(witnessed=[DEFINES]), time.monotonic() + 60)

    done = kvm.perform(asked, Heard(witnessed=[DEFINES]), time.monotonic() + 60)

    assert done.detail["state"] == "running"
    remove(conn, asked.vm_id)
