"""Disks of snapshots that are another VM's by now."""

from __future__ import annotations

from collections.abc import Iterable

import libvirt

from novacron_agent.providers.kvm.markup import parsed
from novacron_agent.providers.kvm.snapshots.checks import images_with
from novacron_agent.providers.kvm.snapshots.differences import definition_in
from novacron_agent.providers.kvm.snapshots.images import Written, names_of, written_by
from novacron_agent.providers.kvm.uses import User, users
from novacron_agent.providers.kvm.volumes import shown
from novacron_agent.providers.lifecycle import NotPossible


def disks_in(snapshot: libvirt.virDomainSnapshot) -> list[Written]:
    """As it ran, which is what starts, and as it was defined."""
    tree = parsed(snapshot.getXMLDesc(0))
    every = (*tree.iter("domain"), *tree.iter("inactiveDomain"))
    return [disk for one in every for disk in written_by(one)]


def must_be_nobody_elses(
    conn: libvirt.virConnect, vm_id: str, snapshot: libvirt.virDomainSnapshot
) -> None:
    """A disk that was detached since may be another VM's by now.

    Raises:
        NotPossible: one is, and would be changed.
    """
    disks = disks_in(snapshot)
    others = users(conn, vm_id) if disks else []
    for disk in disks:
        names = names_of(conn, disk)
        for other in others:
            if names & (other.writes | other.reads):
                raise NotPossible(f"disk {disk.target} is used by {shown(other.name)} now")


def must_lose_no_other(
    conn: libvirt.virConnect, domain: libvirt.virDomain, going: list[libvirt.virDomainSnapshot]
) -> None:
    """libvirt goes by a snapshot's name: with a VM that runs through all disks that it has by now,
    with one that is off through those that the snapshot's definition names.

    Raises:
        NotPossible: one of another VM, of the same name, would be removed.
    """
    now = written_by(parsed(domain.XMLDesc(0)))
    runs = bool(domain.isActive())
    others = [] if runs else users(conn, domain.UUIDString())
    for snapshot in going:
        disks = now if definition_in(snapshot) is None else disks_in(snapshot)
        if runs:
            _must_not_be_in_others(conn, now, disks, snapshot.getName())
        else:
            _must_not_be_others(conn, disks, others, snapshot.getName())


def _must_not_be_in_others(
    conn: libvirt.virConnect, now: list[Written], disks: list[Written], name: str
) -> None:
    own = frozenset(one for disk in disks for one in names_of(conn, disk))
    if _may_have(conn, [disk for disk in now if not own & names_of(conn, disk)], name):
        raise NotPossible(
            f"a disk that the VM got since has, or may have, a snapshot {shown(name)} of its own, "
            "which would be removed, too: stop the VM first"
        )


def _must_not_be_others(
    conn: libvirt.virConnect, disks: list[Written], others: list[User], name: str
) -> None:
    for other in others:
        theirs = [disk for disk in disks if names_of(conn, disk) & other.writes]
        if _may_have(conn, theirs, name):
            raise NotPossible(
                f"disk {theirs[0].target} is used by {shown(other.name)} now, and its image has, "
                f"or may have, a snapshot {shown(name)}: detach it there, or have libvirt forget "
                "this one (virsh snapshot-delete --metadata)"
            )


def _may_have(conn: libvirt.virConnect, disks: Iterable[Written], name: str) -> bool:
    """Only qcow2 images hold snapshots."""
    having, unseen = images_with(conn, [one for one in disks if one.format == "qcow2"], name)
    return bool(having or unseen)
