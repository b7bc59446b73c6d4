"""From what new VMs are asked for to where each comes, and whether the one who asks may.

Who creates a VM needs the right to manage it as it will be: on its host, and with its tags. And
since rights are given by tags, a tag that somebody's rights go by is given by those alone who have
the right to manage VMs of that tag, or of the fleet: nobody hands a VM, or the selection of a
maintenance job, over to others by its labels. Volumes that are there and bridges are the host's:
they may hold, or reach, what is others', and need the right over the host.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import uuid4

from novacron_collector.commands.new_vms import own_arguments
from novacron_collector.commands.own_labels import OwnLabels, Refuse
from novacron_collector.commands.placing import Hosts, Site, chosen, why_none
from novacron_collector.commands.planning import Planned
from novacron_collector.commands.request import NewVms, Request
from novacron_contract.access import Permission, Principal, Target
from novacron_contract.errors import Conflict, NotFound
from novacron_contract.metrics import VM_HOST_ID, VM_NAME
from novacron_contract.vm_spec import labels
from novacron_store.state import Vm

_MANAGE = Permission.VM_MANAGE


@dataclass(frozen=True)
class Creation:
    hosts: Hosts
    own_labels: OwnLabels

    def plan(
        self, asked: Request, principal: Principal, refuse: Refuse, now: datetime
    ) -> tuple[Planned, ...]:
        """
        Raises:
            Refused: one who asks may not.
            NotFound: the host is not there.
            Conflict: a name is in use, or no host can be used.
        """
        assert asked.new is not None
        new, given = asked.new, labels(asked.new.spec.owner, asked.new.spec.tags)
        told = [*given.items(), *((VM_NAME, name) for name in new.names)]
        self.own_labels.require(told, new.names[0], principal, refuse)
        sites = self.hosts.sites(now)
        if new.host is None:
            mine = [one for one in sites if _may(principal, one, new, given)]
            if sites and not mine:
                refuse(f"vm:{new.names[0]}", _why_not(principal, new, "on any host"))
            if not any(one.is_usable for one in mine):
                raise Conflict(why_none(mine))
            line = zip(new.names, chosen(mine, new.names, new.spec.memory_mib), strict=True)
            return tuple(_planned(asked, name, site, given, now) for name, site in line)
        host = self.hosts.inventory.host(new.host)
        site = next((one for one in sites if one.host.id == host.id), None)
        if site is None:  # it has been heard of since
            raise NotFound(f"no host has the id or name {new.host[:80]!r}: try again")
        if not _may(principal, site, new, given):
            refuse(f"host:{host.id}", _why_not(principal, new, f"on {host.name}"))
        problems = {name: _in_use(site, name) for name in new.names}
        return tuple(_planned(asked, name, site, given, now, problems[name]) for name in new.names)


def _may(principal: Principal, site: Site, new: NewVms, given: Mapping[str, str]) -> bool:
    if _uses_what_is_there(new) and not principal.may(_MANAGE, Target(site.host.id)):
        return False
    whatever_name = {**given, VM_HOST_ID: site.host.id}
    if principal.may(_MANAGE, Target(site.host.id, "new", whatever_name)):
        return True
    return all(
        principal.may(_MANAGE, Target(site.host.id, "new", _resource(name, site, given)))
        for name in new.names
    )


def _uses_what_is_there(new: NewVms) -> bool:
    return any(True for _ in new.spec.volumes()) or any(one.bridge for one in new.spec.networks)


def _why_not(principal: Principal, new: NewVms, where: str) -> str:
    """What a VM would need to be within the rights of who asks."""
    grants = principal.grants if principal.limit is None else principal.limit
    scopes = sorted({str(one.scope) for one in grants if _MANAGE in one.role.permissions})
    more = ""
    if _uses_what_is_there(new):
        more = "; volumes that are there and bridges need it for the host, or the fleet"
    return f"create such VMs {where}: {_MANAGE} holds for {', '.join(scopes)} alone{more}"


def _planned(
    asked: Request,
    name: str,
    site: Site,
    given: Mapping[str, str],
    now: datetime,
    problem: str = "",
) -> Planned:
    vm = Vm(str(uuid4()), name, site.host.id, now, now, resource=_resource(name, site, given))
    said = f"{name}: {problem or site.problem}" if problem or site.problem else ""
    host = site.host.name
    return Planned(vm, host, None, site.identity_id, said, own_arguments(asked, name))


def _in_use(site: Site, name: str) -> str:
    return f"{site.host.name} has a VM of that name" if name in site.names else ""


def _resource(name: str, site: Site, given: Mapping[str, str]) -> dict[str, str]:
    return {**given, VM_NAME: name, VM_HOST_ID: site.host.id}
