"""Make a VM: its volumes, its seed, its definition; then start it.

Each step may be cut off by a kill: what was made is found by the VM's UUID, in the names of volumes
and in the domain itself, whose metadata has the id of the command. A VM that is defined is
finished. Of one that was not going to be yet, what is left is removed, and it is begun anew; one
that was, and is not here, may run on another host: nothing of it is touched.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

import libvirt

from novacron_agent.providers.kvm.claims import using
from novacron_agent.providers.kvm.control import Control
from novacron_agent.providers.kvm.creating.accelerator import kind_of
from novacron_agent.providers.kvm.creating.checks import Sources, check, check_sources, check_use
from novacron_agent.providers.kvm.creating.domain import Made, definition
from novacron_agent.providers.kvm.creating.seed import seed
from novacron_agent.providers.kvm.creating.storage import make_disk, make_seed
from novacron_agent.providers.kvm.creating.undo import DEFINES, MAKES, Undo, mine
from novacron_agent.providers.kvm.creating.verify import verify
from novacron_agent.providers.kvm.domain import in_time, look
from novacron_agent.providers.kvm.marks import Mark, Owned, mark_of, prefix
from novacron_agent.providers.kvm.markup import parsed, written
from novacron_agent.providers.kvm.volumes import Found
from novacron_agent.providers.lifecycle import (
    Done,
    EffectFailed,
    EffectUnknown,
    Elsewhere,
    NotPossible,
    Progress,
    VmNotFound,
)
from novacron_contract import vm_spec
from novacron_contract.commands import Order
from novacron_contract.errors import NovaCronError, Refused, Unavailable
from novacron_contract.vm_spec import Disk, VmSpec

T = TypeVar("T")

_LOOK_S = 10.0
_CHECK_S = 30.0  # of hosts with many VMs and volumes
_INACTIVE = libvirt.VIR_DOMAIN_XML_INACTIVE


@dataclass(slots=True)
class _Made:
    disks: list[tuple[Disk, Found]] = field(default_factory=list)
    seed: Found | None = None
    kind: str = ""


@dataclass(frozen=True, slots=True)
class Create:
    control: Control
    order: Order
    progress: Progress
    deadline: float

    def carry_out(self) -> Done:
        spec = vm_spec.parse(self.order.arguments["spec"], "spec")
        if self._look(lambda conn: mine(conn, self.order)) is not None:
            self._start_late(spec)
        elif self.progress.evidence == DEFINES:
            raise EffectUnknown(
                "it was being defined, and is not here: was it removed, or has it moved to another "
                "host? Its volumes stay"
            )
        else:
            self._make(spec)
        try:
            detail = self._look(partial(self._detail, spec))
        except (Unavailable, VmNotFound, NotPossible, Refused) as err:
            raise EffectUnknown(f"it was made, and then: {err}") from err
        return Done(changed=True, text=f"made on {detail['host']}", detail=detail)

    def _start_late(self, spec: VmSpec) -> None:
        """It had been defined when the agent ended. It is not undone: it may have run."""
        try:
            if not self._look(partial(self._is_unfinished, spec)):
                return
            self._look(lambda conn: check_sources(conn, self.order.vm_id, spec), _CHECK_S)
            self._change(partial(self._start, spec))
        except Elsewhere as err:  # looked at again: one that libvirt is starting looks like that
            raise EffectUnknown("it starts just now, or moves to another host") from err
        except (EffectFailed, NotPossible) as err:
            raise EffectFailed(
                f"it is made, and not started: start it, or delete it ({err})"
            ) from err

    def _make(self, spec: VmSpec) -> None:
        undo = Undo(self.control, self.order, self.progress)
        is_again = self.progress.evidence == MAKES
        if is_again:
            undo.whole(max(self.deadline, time.monotonic() + _LOOK_S))
        in_time(self.deadline)
        try:
            sources = self._look(lambda conn: check(conn, self.order.vm_id, spec), _CHECK_S)
        except (NotPossible, EffectFailed) as err:
            if is_again:  # what the agent asked for that was killed may come late
                raise undo.after(err) from err
            raise
        self.progress.witness(MAKES)
        try:
            self._take_steps(spec, sources)
        except Unavailable as err:  # of what went before it
            raise EffectUnknown(str(err)) from err
        except EffectUnknown:
            raise  # it is looked at again
        except NovaCronError as err:
            raise undo.after(err) from err

    # -- forwards --------------------------------------------------------------------------------

    def _take_steps(self, spec: VmSpec, sources: Sources) -> None:
        made = _Made()
        steps: list[tuple[str, Callable[[libvirt.virConnect], None]]] = [
            *(
                (f"disk {number + 1} of {len(spec.disks)}", partial(self._disk, made, number, disk))
                for number, disk in enumerate(spec.disks)
            ),
            ("seed", partial(self._seed, made, spec)),
            ("kvm or qemu", partial(self._kind, made, spec)),
            ("definition", partial(self._define, made, spec, sources)),
            ("start", partial(self._start, spec)),
        ]
        for number, (what, step) in enumerate(steps):
            self.progress.tell(what, number / len(steps))
            self._change(step)

    def _disk(self, made: _Made, number: int, disk: Disk, conn: libvirt.virConnect) -> None:
        if disk.volume is None:
            name = f"{prefix(self.order.vm_id)}disk{number}"
            made.disks.append((disk, make_disk(conn, name, disk)))

    def _seed(self, made: _Made, spec: VmSpec, conn: libvirt.virConnect) -> None:
        if spec.cloud_init is not None:
            content = seed(self.order.vm_id, spec.name, spec.cloud_init)
            made.seed = make_seed(conn, self.order.vm_id, spec.pools[0], content)

    def _kind(self, made: _Made, spec: VmSpec, conn: libvirt.virConnect) -> None:
        made.kind = kind_of(conn, self.order.vm_id, spec)

    def _define(
        self, made: _Made, spec: VmSpec, sources: Sources, conn: libvirt.virConnect
    ) -> None:
        tree = definition(self._whole(made, spec, sources, conn))
        in_time(self.deadline)
        self.progress.witness(DEFINES)
        with using(conn, sources.found.values()):
            domain = conn.defineXMLFlags(written(tree), libvirt.VIR_DOMAIN_DEFINE_VALIDATE)
        verify(tree, parsed(domain.XMLDesc(_INACTIVE)))
        check_use(conn, self.order.vm_id, spec.disks, sources)

    def _whole(self, made: _Made, spec: VmSpec, sources: Sources, conn: libvirt.virConnect) -> Made:
        new = iter(made.disks)
        disks = tuple(
            (disk, sources.found[disk.volume]) if disk.volume is not None else next(new)
            for disk in spec.disks
        )
        owned = [found for _, found in made.disks] + ([made.seed] if made.seed else [])
        boot = spec.boot
        return Made(
            vm_id=self.order.vm_id,
            spec=spec,
            mark=Mark(
                command=self.order.id,
                owner=spec.owner,
                tags=spec.tags,
                owned=tuple(Owned(one.pool, one.name) for one in owned),
            ),
            kind=made.kind,
            arch=conn.getInfo()[0],
            disks=disks,
            seed=made.seed,
            kernel=sources.found[boot.kernel].path if boot else None,
            initrd=sources.found[boot.initrd].path if boot and boot.initrd else None,
        )

    def _start(self, spec: VmSpec, conn: libvirt.virConnect) -> None:
        domain = conn.lookupByUUIDString(self.order.vm_id)
        in_time(self.deadline)
        if spec.autostart:
            domain.setAutostart(1)
        if spec.start and look(domain).is_off:
            in_time(self.deadline)
            try:
                domain.createWithFlags(libvirt.VIR_DOMAIN_START_PAUSED if spec.paused else 0)
            except libvirt.libvirtError:
                if not domain.isActive():
                    raise

    def _is_unfinished(self, spec: VmSpec, conn: libvirt.virConnect) -> bool:
        domain = conn.lookupByUUIDString(self.order.vm_id)
        lacks_autostart = spec.autostart and not domain.autostart()
        return lacks_autostart or (spec.start and look(domain).is_off)

    def _detail(self, spec: VmSpec, conn: libvirt.virConnect) -> dict[str, object]:
        domain = conn.lookupByUUIDString(self.order.vm_id)
        tree = parsed(domain.XMLDesc(_INACTIVE))
        mark = mark_of(tree)
        return {
            "vm_id": self.order.vm_id,
            "name": spec.name,
            "host": conn.getHostname(),
            "virtualization": tree.get("type", ""),
            "state": look(domain).state.value,
            "volumes": [{"pool": one.pool, "name": one.volume} for one in mark.owned]
            if mark
            else [],
        }

    # -- calls -----------------------------------------------------------------------------------

    def _change(self, ask: Callable[[libvirt.virConnect], T]) -> T:
        in_time(self.deadline)
        return self.control.ask(self.order.vm_id, ask, self.deadline)

    def _look(self, ask: Callable[[libvirt.virConnect], T], patience_s: float = _LOOK_S) -> T:
        try:
            until = time.monotonic() + patience_s
            return self.control.ask(self.order.vm_id, ask, until, step="look")
        except EffectUnknown as err:  # to look is no effect
            raise Unavailable(str(err)) from err
