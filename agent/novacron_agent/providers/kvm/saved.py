"""What libvirt keeps of a guest's memory while it is off (its managed save)."""

from __future__ import annotations

import contextlib
import xml.etree.ElementTree as ET

import libvirt

from novacron_agent.providers.kvm.marks import URI

_RUN_URI = f"{URI}/restored"
_NOT_WHOLE = frozenset(
    {libvirt.VIR_ERR_OPERATION_FAILED, libvirt.VIR_ERR_XML_ERROR, libvirt.VIR_ERR_XML_DETAIL}
)
NO_ROOM_FOR_CHANGES = (
    "the VM's memory is saved, with the VM as it was: start it first, or start it afresh with "
    "discard_saved"
)


def is_kept(domain: libvirt.virDomain) -> bool:
    """Not every hypervisor keeps such images."""
    try:
        return bool(domain.hasManagedSaveImage())
    except libvirt.libvirtError as err:
        if err.get_error_code() != libvirt.VIR_ERR_NO_SUPPORT:
            raise
        return False


def is_whole(domain: libvirt.virDomain) -> bool:
    """Whether it can be gone on with: a host may have failed while it was written.

    Raises:
        libvirt.libvirtError: nobody knows; whoever is told that it is not whole discards it.
    """
    try:
        domain.managedSaveGetXMLDesc()
    except libvirt.libvirtError as err:
        code = err.get_error_code()
        if code == libvirt.VIR_ERR_NO_SUPPORT:  # nobody tells
            return True
        if code not in _NOT_WHOLE or not domain.connect().isAlive():
            raise
        return False
    return True


def is_being_saved(domain: libvirt.virDomain) -> bool:
    """libvirt stops a guest while it writes what is in its memory; one that stood still before is
    asked what is being done with it."""
    state, reason = domain.state()
    if state != libvirt.VIR_DOMAIN_PAUSED:
        return False
    if reason == libvirt.VIR_DOMAIN_PAUSED_SAVE:
        return True
    with contextlib.suppress(libvirt.libvirtError):
        return is_save(domain.jobStats())
    return False


def is_save(job: dict[str, object]) -> bool:
    return bool(job.get("operation") == libvirt.VIR_DOMAIN_JOB_OPERATION_SAVE)


def note_restored(domain: libvirt.virDomain) -> None:
    """libvirt says of one that was paused when it was saved, as of one that is on its way to
    another host, that it is paused for a migration: that it is neither is noted for this run."""
    domain.setMetadata(
        libvirt.VIR_DOMAIN_METADATA_ELEMENT,
        f"<restored run='{domain.ID()}'/>",
        "restored",
        _RUN_URI,
        libvirt.VIR_DOMAIN_AFFECT_LIVE,
    )


def forget_restored(domain: libvirt.virDomain) -> None:
    """It goes on: when it is paused for a migration again, that is what it is."""
    element, live = libvirt.VIR_DOMAIN_METADATA_ELEMENT, libvirt.VIR_DOMAIN_AFFECT_LIVE
    if is_restored(domain):
        with contextlib.suppress(libvirt.libvirtError):
            domain.setMetadata(element, None, None, _RUN_URI, live)


def is_restored(domain: libvirt.virDomain) -> bool:
    """Asks no QEMU. What went to another host has another run there."""
    element, live = libvirt.VIR_DOMAIN_METADATA_ELEMENT, libvirt.VIR_DOMAIN_AFFECT_LIVE
    try:
        noted = ET.fromstring(domain.metadata(element, _RUN_URI, live))
    except (libvirt.libvirtError, ET.ParseError):
        return False
    return noted.get("run") == str(domain.ID())
