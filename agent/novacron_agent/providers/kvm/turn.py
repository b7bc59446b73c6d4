"""One order for one guest, as verbs are given it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import libvirt

from novacron_agent.providers.kvm.domain import in_time
from novacron_agent.providers.lifecycle import Progress
from novacron_contract.commands import Value


@dataclass(frozen=True, slots=True)
class Turn:
    domain: libvirt.virDomain
    arguments: Mapping[str, Value]
    progress: Progress
    deadline: float

    @property
    def is_qemu(self) -> bool:
        return bool(self.domain.connect().getType() == "QEMU")

    def in_time(self) -> None:
        in_time(self.deadline)
