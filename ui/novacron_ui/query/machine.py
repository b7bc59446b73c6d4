"""One machine: who it is, and its charts over a range."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from clickhouse_connect.driver.client import Client

from novacron_contract.access import FLEET, Target
from novacron_contract.errors import NotFound
from novacron_store.state import Host, Inventory, Vm
from novacron_store.telemetry.builder import Index
from novacron_ui.query.agent_panels import AGENT_PANELS
from novacron_ui.query.drawing import Range, draw
from novacron_ui.query.panels import HOST_PANELS, VM_PANELS, Panel, panel

PANELS = {"host": HOST_PANELS, "vm": VM_PANELS, "agent": AGENT_PANELS}  # by the kind of entity


@dataclass(frozen=True, slots=True)
class Machine:
    """A host or VM with what stands in its page's head. `host` is a VM's hypervisor, if known;
    `agent_id` is of the agent that reports a host; empty: none does."""

    id: str
    name: str
    kind: str  # host | vm
    facts: tuple[str, ...] = ()
    host: Host | None = None
    agent_id: str = ""
    target: Target = FLEET  # of who wants to act upon it

    @property
    def panels(self) -> tuple[Panel, ...]:
        return PANELS[self.kind]


@dataclass(frozen=True)
class Machines:
    inventory: Inventory
    telemetry: Callable[[], Client]
    index: Index = field(default_factory=Index)

    def find(self, id_or_name: str) -> Machine:
        """
        Raises:
            NotFound: neither a VM nor a host is called so.
        """
        try:
            return self._vm(self.inventory.vm(id_or_name))
        except NotFound:
            return _host(self.inventory.host(id_or_name))

    def draw(self, entity: str, kind: str, panel_id: str, over: Range) -> dict[str, Any]:
        """The lines of one panel on a common time axis."""
        drawn = panel(PANELS[kind], panel_id)
        if drawn is None:
            raise NotFound(f"no panel has the id {panel_id!r}")
        client = self.telemetry()
        return draw(client, drawn, entity, over, self.index)

    def _vm(self, vm: Vm) -> Machine:
        try:
            host = self.inventory.host(vm.host_id)
        except NotFound:
            host = None
        target = Target(vm.host_id, vm.id, vm.resource)
        name, facts = vm.name or vm.id, _known(vm.provider)
        return Machine(vm.id, name, "vm", facts, host, target=target)


def _host(host: Host) -> Machine:
    facts = _known(host.os, host.arch)
    return Machine(host.id, host.name or host.id, "host", facts, agent_id=host.agent_id)


def _known(*facts: str) -> tuple[str, ...]:
    return tuple(fact for fact in facts if fact)
