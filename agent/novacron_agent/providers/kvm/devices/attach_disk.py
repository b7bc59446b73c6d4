"""Give a VM one more disk: its volume first, then the mark that it is the VM's, then the disk.

The volume has the command's id in its name and the disk has it as its alias, so that an agent which
was killed in the middle finds what it has made.
"""

from __future__ import annotations

import time
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import dataclass, replace

import libvirt

from novacron_agent.providers.kvm.claims import removing, using
from novacron_agent.providers.kvm.control import Control
from novacron_agent.providers.kvm.creating.checks import Sources, check_use
from novacron_agent.providers.kvm.creating.domain import bus_of
from novacron_agent.providers.kvm.creating.storage import make_disk
from novacron_agent.providers.kvm.creating.verify import disk_said
from novacron_agent.providers.kvm.devices.calls import Calls
from novacron_agent.providers.kvm.devices.guest import (
    Guest,
    aliased,
    guest_of,
    plug,
    remark,
    target_of,
)
from novacron_agent.providers.kvm.devices.new_disk import (
    check_disk,
    controller,
    element,
    free_target,
    volume_under,
)
from novacron_agent.providers.kvm.devices.unplugging import Unplugging
from novacron_agent.providers.kvm.domain import in_time
from novacron_agent.providers.kvm.marks import Mark, Owned, prefix
from novacron_agent.providers.kvm.owned import named, remove
from novacron_agent.providers.kvm.uses import against_removal, overlays, users
from novacron_agent.providers.kvm.volumes import Found, active_pools, found, refresh_all, shown
from novacron_agent.providers.lifecycle import (
    Done,
    EffectFailed,
    EffectUnknown,
    Elsewhere,
    NotPossible,
    Progress,
    VmNotFound,
)
from novacron_contract.commands import Order
from novacron_contract.errors import NovaCronError, Unavailable
from novacron_contract.vm_spec import Bus, Disk
from novacron_contract.vm_spec.devices import parse_disk

_MAKES, _ATTACHES = "its volume is made", "it is attached"  # what is journalled before
_UNDO_S = 30.0


@dataclass(frozen=True, slots=True)
class AttachDisk:
    control: Control
    order: Order
    progress: Progress
    deadline: float

    def carry_out(self) -> Done:
        calls = Calls(self.control, self.order.vm_id, self.deadline)
        missing, detail = self._looked(calls)
        if missing:
            self._attach(calls, parse_disk(self.order.arguments["disk"], "disk"))
            try:
                missing, detail = calls.look(self._standing)
            except NovaCronError as err:
                raise EffectUnknown(f"it was attached, and then: {err}") from err
        if missing:
            raise EffectUnknown("it was attached, and somebody took it out since")
        return Done(changed=True, text=f"it is {detail['disk']}", detail=detail)

    def _looked(self, calls: Calls) -> tuple[bool, dict[str, str]]:
        try:
            return calls.look(self._standing)
        except (VmNotFound, Elsewhere) as err:
            if self.progress.evidence:
                raise EffectUnknown(f"{err}; the disk may be with it, and its volume here") from err
            raise

    def _attach(self, calls: Calls, disk: Disk) -> None:
        was_attached = self.progress.evidence == _ATTACHES
        kept = calls.look(self._left) if was_attached else None
        if kept is None and self.progress.evidence:
            until = max(self.deadline, time.monotonic() + _UNDO_S)
            again = Calls(self.control, self.order.vm_id, until)
            again.change(lambda conn: self._remove(conn, until))
        self._must_be_in_time(kept, may_come=was_attached)
        sources = calls.look(lambda conn: check_disk(conn, self.order.vm_id, disk, kept))
        if kept is None:
            self.progress.witness(_MAKES)
        try:
            self._take_steps(calls, disk, sources, kept)
        except Unavailable as err:  # of what went before it
            raise EffectUnknown(str(err)) from err
        except EffectUnknown:
            raise  # it is looked at again
        except NovaCronError as err:
            raise self._undone(err, may_come=was_attached) from err

    def _must_be_in_time(self, kept: Found | None, *, may_come: bool) -> None:
        try:
            in_time(self.deadline)
        except EffectFailed as err:
            if not may_come:
                raise
            volume = f"its volume {kept.pool}/{kept.name} stays" if kept else "its volume stays"
            raise EffectUnknown(f"{err}: {volume}, and may become a disk of the VM yet") from err

    def _take_steps(self, calls: Calls, disk: Disk, sources: Sources, kept: Found | None) -> None:
        volume = kept or (sources.found[disk.volume] if disk.volume else None)
        if volume is None:
            self.progress.tell("volume", 0.0)
            volume = calls.change(lambda conn: self._make(conn, disk, sources))
        new = volume
        if disk.volume is None:
            self.progress.tell("mark", 0.6)
            calls.change(lambda conn: remark(guest_of(conn, self.order.vm_id), _with(new)))
        self.progress.tell("disk", 0.8)
        calls.change(lambda conn: self._plug(conn, disk, new))
        if sources.found:  # two that take the same at once see each other then
            calls.change(lambda conn: check_use(conn, self.order.vm_id, [disk], sources))

    def _make(self, conn: libvirt.virConnect, disk: Disk, sources: Sources) -> Found:
        with using(conn, sources.found.values()):
            return make_disk(conn, self._name, disk)

    def _plug(self, conn: libvirt.virConnect, disk: Disk, volume: Found) -> None:
        with using(conn, [volume]):
            self._give(conn, disk, volume)

    def _give(self, conn: libvirt.virConnect, disk: Disk, volume: Found) -> None:
        guest = guest_of(conn, self.order.vm_id)
        there = [aliased(tree, self._alias) for tree in guest.trees]
        target = next((target_of(one) for one in there if one is not None), "")
        made = element(disk, volume, target or free_target(guest, disk), self._alias)
        flags = 0
        for flag, tree in guest.by_flag():
            flags |= flag if aliased(tree, self._alias) is None else 0
        in_time(self.deadline)
        self.progress.witness(_ATTACHES)
        if (bus := controller(guest, disk)) is not None:
            plug(guest, bus, flags)
        if flags:
            plug(guest, made, flags)
        self._verify(guest_of(conn, self.order.vm_id), made)

    def _verify(self, guest: Guest, made: ET.Element) -> None:
        for tree in guest.trees:
            there = aliased(tree, self._alias)
            if there is None or disk_said(there) != disk_said(made):
                raise EffectFailed("libvirt took another disk than it was given")

    # -- what there is of it ---------------------------------------------------------------------

    @property
    def _name(self) -> str:
        return f"{prefix(self.order.vm_id)}disk-{self.order.id}"

    @property
    def _alias(self) -> str:
        return f"ua-novacron-{self.order.id}"

    def _standing(self, conn: libvirt.virConnect) -> tuple[bool, dict[str, str]]:
        """Whether it is missing anywhere, and what is told of it."""
        guest = guest_of(conn, self.order.vm_id)
        there = [aliased(tree, self._alias) for tree in guest.trees]
        if any(one is None for one in there):
            return True, {}
        disk = there[-1]
        assert disk is not None
        volume = volume_under(conn, disk)
        told = {"pool": volume.pool, "volume": volume.name} if volume else {}
        return False, {"disk": target_of(disk), **told}

    def _volumes(self, conn: libvirt.virConnect) -> list[libvirt.virStorageVol]:
        every = [one for pool in active_pools(conn) for one in named(pool, self.order.vm_id)]
        return [one for one in every if one.name().startswith(f"{self._name}.")]

    def _left(self, conn: libvirt.virConnect) -> Found | None:
        """Whole, since it was going to be attached; by now a guest may have written to it."""
        for tree in guest_of(conn, self.order.vm_id).trees:
            if (disk := aliased(tree, self._alias)) is not None:
                return volume_under(conn, disk)
        return next((found(one) for one in self._volumes(conn)), None)

    # -- backwards -------------------------------------------------------------------------------

    def _undone(self, err: NovaCronError, *, may_come: bool) -> NovaCronError:
        """Whatever the time: nothing half made is left. `may_come`: libvirt was asked before by
        who is gone, and may still have that before it, unless it has taken the disk out since."""
        self.progress.tell("what was made is removed again")
        until = time.monotonic() + _UNDO_S
        calls = Calls(self.control, self.order.vm_id, until)
        try:
            is_out = Unplugging(calls, self.progress, self._mine, "the new disk").carry_out()
            if may_come and not is_out:
                return EffectUnknown(
                    f"{err}; it was asked for before and may still come, so that its volume stays"
                )
            self.progress.witness(_MAKES)
            calls.change(lambda conn: self._remove(conn, until))
        except (EffectFailed, NotPossible) as left:
            return EffectFailed(f"{err}; and what was made of it stays: {left}")
        except NovaCronError as left:
            return EffectUnknown(f"{err}; and what was made could not be removed: {left}")
        is_scsi = bus_of(parse_disk(self.order.arguments["disk"], "disk")) is Bus.SCSI
        stays = "; the SCSI controller stays" if is_scsi else ""
        return EffectFailed(f"{err} (what had been made of it is removed{stays})")

    def _mine(self, _conn: libvirt.virConnect, tree: ET.Element | None) -> ET.Element | None:
        return None if tree is None else aliased(tree, self._alias)

    def _remove(self, conn: libvirt.virConnect, until: float) -> None:
        """What this command made, as long as nobody uses it."""
        volumes = self._volumes(conn)
        if volumes:
            refresh_all(conn)
        with removing(volumes):
            above, every = (overlays(conn), users(conn, but="")) if volumes else ([], [])
            for one in volumes:
                against = against_removal(found(one), every, above, set())
                if against:
                    raise NotPossible(f"volume {shown(one.name())} stays: {against}")
            remove(volumes, until)
        remark(guest_of(conn, self.order.vm_id), self._without)

    def _without(self, mark: Mark) -> Mark:
        kept = (one for one in mark.owned if not one.volume.startswith(f"{self._name}."))
        return replace(mark, owned=tuple(kept))


def _with(volume: Found) -> Callable[[Mark], Mark]:
    new = Owned(volume.pool, volume.name)
    return lambda mark: mark if new in mark.owned else replace(mark, owned=(*mark.owned, new))
