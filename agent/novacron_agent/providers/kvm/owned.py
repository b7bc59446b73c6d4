"""What was created with a VM, found by its UUID, and removed."""

from __future__ import annotations

import time
from collections.abc import Iterable

import libvirt

from novacron_agent.providers.kvm.marks import prefix
from novacron_agent.providers.kvm.uses import against_removal, nvram_user, overlays, users
from novacron_agent.providers.kvm.volumes import Found, found, real, refresh_all, shown
from novacron_agent.providers.lifecycle import EffectUnknown, NotPossible

_AGAIN_S = 0.3
_KEEP_TPM = getattr(libvirt, "VIR_DOMAIN_UNDEFINE_KEEP_TPM", 0)  # since libvirt 8.9


def volumes_of(conn: libvirt.virConnect, vm_id: str) -> list[libvirt.virStorageVol]:
    """In whatever active pool, by name."""
    pools = conn.listAllStoragePools(libvirt.VIR_CONNECT_LIST_STORAGE_POOLS_ACTIVE)
    found = [volume for pool in pools for volume in named(pool, vm_id)]
    return sorted(found, key=lambda volume: str(volume.name()))


def named(pool: libvirt.virStoragePool, vm_id: str) -> list[libvirt.virStorageVol]:
    first = prefix(vm_id)
    found = []
    for name in pool.listVolumes():
        if name.startswith(first):
            volume = _there(pool, name)
            found += [volume] if volume is not None else []
    return found


def must_be_nobodys(
    conn: libvirt.virConnect, vm_id: str, volumes: list[libvirt.virStorageVol]
) -> None:
    """The guest of a trial (creating/accelerator.py) may be at its end, and is of this VM.

    Raises:
        NotPossible: another VM uses one, or a volume is built on it.
    """
    others = [one for one in users(conn, vm_id) if not one.name.startswith(prefix(vm_id))]
    refresh_all(conn)
    above, going = overlays(conn), {real(volume.path()) for volume in volumes}
    for volume in volumes:
        there = _if_there(volume)
        against = against_removal(there, others, above, going) if there else ""
        if against:
            raise NotPossible(f"volume {shown(volume.name())} stays: {against}")


def remove(volumes: Iterable[libvirt.virStorageVol], deadline: float) -> int:
    """How many there were. One that is still being made is waited for: who ordered it is gone, and
    libvirt makes it all the same.

    Raises:
        EffectUnknown: one is not ready by then.
    """
    number = 0
    for volume in volumes:
        while not _is_removed(volume):
            if time.monotonic() >= deadline:
                raise EffectUnknown(f"volume {volume.name()} is still being made")
            time.sleep(_AGAIN_S)
        number += 1
    return number


def undefine(domain: libvirt.virDomain, *, keep: bool = False) -> None:
    """With what libvirt keeps of it beside its definition; `keep`: but for what its guest wrote.
    NVRAM that another VM names is that one's."""
    flags = (
        libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE | libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
    )
    if domain.connect().getType() == "QEMU":  # libvirt's test driver knows none of these
        keeps_nvram = keep or nvram_user(domain)
        flags |= _KEEP_TPM if keep else 0
        flags |= (
            libvirt.VIR_DOMAIN_UNDEFINE_KEEP_NVRAM
            if keeps_nvram
            else libvirt.VIR_DOMAIN_UNDEFINE_NVRAM
        )
        flags |= libvirt.VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA
    domain.undefineFlags(flags)


def _is_removed(volume: libvirt.virStorageVol) -> bool:
    try:
        volume.delete(0)
    except libvirt.libvirtError as err:
        code = err.get_error_code()
        if code == libvirt.VIR_ERR_NO_STORAGE_VOL:
            return True
        if code == libvirt.VIR_ERR_OPERATION_INVALID:
            return False
        raise
    return True


def _if_there(volume: libvirt.virStorageVol) -> Found | None:
    """libvirt lists a volume before it begins to make it: nobody uses it yet."""
    try:
        return found(volume)
    except libvirt.libvirtError as err:
        if err.get_error_code() != libvirt.VIR_ERR_NO_STORAGE_VOL:
            raise
        return None


def _there(pool: libvirt.virStoragePool, name: str) -> libvirt.virStorageVol | None:
    try:
        return pool.storageVolLookupByName(name)
    except libvirt.libvirtError as err:
        if err.get_error_code() != libvirt.VIR_ERR_NO_STORAGE_VOL:
            raise
        return None
