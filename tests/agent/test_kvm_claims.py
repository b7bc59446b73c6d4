"""Volumes that are used and removed at once."""

from __future__ import annotations

from collections.abc import Iterator

import libvirt
import pytest

from novacron_agent.providers.kvm.claims import removing, using
from novacron_agent.providers.kvm.volumes import found
from novacron_agent.providers.lifecycle import NotPossible


@pytest.fixture
def conn() -> Iterator[libvirt.virConnect]:
    conn = libvirt.open("test:///default")
    yield conn
    conn.close()


@pytest.fixture
def volume(conn: libvirt.virConnect) -> Iterator[libvirt.virStorageVol]:
    [pool, *_] = conn.listAllStoragePools()
    made = pool.createXML("<volume><name>claimed</name><capacity>1024</capacity></volume>", 0)
    yield made
    if "claimed" in pool.listVolumes():
        made.delete(0)


def test_what_is_removed_is_not_used_and_what_is_used_is_not_removed(
    conn: libvirt.virConnect, volume: libvirt.virStorageVol
) -> None:
    one = found(volume)
    for _ in range(2):
        with removing([volume]):
            with pytest.raises(NotPossible, match="'claimed' is being removed"), using(conn, [one]):
                pass
            with pytest.raises(NotPossible, match="used or removed by another"), removing([volume]):
                pass
        with using(conn, [one]):
            with using(conn, [one]):
                pass
            with pytest.raises(NotPossible, match="used or removed by another"), removing([volume]):
                pass


def test_what_was_removed_since_it_was_found_is_not_used(
    conn: libvirt.virConnect, volume: libvirt.virStorageVol
) -> None:
    one = found(volume)
    with removing([volume]):
        volume.delete(0)
    with pytest.raises(NotPossible, match="has no volume 'claimed'"), using(conn, [one]):
        pass
