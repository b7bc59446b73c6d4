"""Calls for one VM, until the time of its command is over."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import libvirt

from novacron_agent.providers.kvm.control import Control
from novacron_agent.providers.kvm.domain import in_time
from novacron_agent.providers.lifecycle import EffectUnknown
from novacron_contract.errors import Unavailable

T = TypeVar("T")

_LOOK_S = 30.0  # of hosts with many VMs and volumes


@dataclass(frozen=True, slots=True)
class Calls:
    control: Control
    vm_id: str
    deadline: float

    def change(self, ask: Callable[[libvirt.virConnect], T]) -> T:
        in_time(self.deadline)
        return self.control.ask(self.vm_id, ask, self.deadline)

    def look(self, ask: Callable[[libvirt.virConnect], T]) -> T:
        """To look is no effect: who gets no answer knows that nothing was done."""
        try:
            until = time.monotonic() + _LOOK_S
            return self.control.ask(self.vm_id, ask, until, step="look")
        except EffectUnknown as err:
            raise Unavailable(str(err)) from err
