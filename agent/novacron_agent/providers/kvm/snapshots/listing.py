"""Which snapshots a VM has, asked of libvirt itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import libvirt

from novacron_agent.providers.kvm.snapshots.asking import Asking
from novacron_agent.providers.kvm.snapshots.known import all_known, as_detail
from novacron_agent.providers.lifecycle import Done

_NAMED = 5


@dataclass(frozen=True, slots=True)
class ListSnapshots(Asking):
    def carry_out(self) -> Done:
        found = self.look(self._found)
        names = ", ".join(one["snapshot"] for one in found[:_NAMED])
        text = f"{len(found)} snapshots: {names}" if found else "no snapshots"
        return Done(changed=False, text=text, detail=as_detail("snapshots", found))

    def _found(self, conn: libvirt.virConnect) -> list[dict[str, Any]]:
        """The newest first; `current`: what the VM goes on from."""
        domain = self.domain(conn)
        current = domain.snapshotCurrent().getName() if domain.hasCurrentSnapshot() else None
        return [
            {**one.as_json(), "current": one.name == current, "external": one.is_external}
            for one in reversed(all_known(domain))
        ]
