"""Devices that only one VM can have, and those that need rights over the host."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from novacron_contract.commands import Verb
from novacron_contract.errors import BadMessage
from novacron_contract.vm_spec import Device, Disk, Network
from novacron_contract.vm_spec.devices import parse_disk, parse_network
from novacron_store.state.commands import Step


def use_what_is_there(steps: Iterable[Step]) -> bool:
    """Volumes that are there and bridges are the host's: they may hold, or reach, what is others'.
    As with VMs that are created (creation.py)."""
    return any(
        one.bridge is not None
        if isinstance(one, Network)
        else (one.clone or one.linked or one.volume) is not None
        for one in _devices(steps)
    )


def require_shareable(steps: Iterable[Step], count: int) -> None:
    """
    Raises:
        BadMessage: so many VMs would have the same.
    """
    for one in _devices(steps) if count > 1 else ():
        if isinstance(one, Network):
            if one.mac is not None:
                raise BadMessage(f"nic.mac: {count} VMs cannot have the same one")
        elif one.volume is not None and one.device is not Device.CDROM:
            raise BadMessage(f"disk.volume: {count} VMs cannot write to the same")


def _devices(steps: Iterable[Step]) -> Iterator[Disk | Network]:
    """That VMs are given."""
    for step in steps:
        for one in (step, step.undo) if step.undo else (step,):
            if one.verb is Verb.ATTACH_DISK:
                yield parse_disk(one.arguments["disk"], "disk")
            elif one.verb is Verb.ATTACH_NIC:
                yield parse_network(one.arguments["nic"], "nic")
