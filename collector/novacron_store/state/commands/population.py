"""What commands mean for the inventory: VMs that came by one, and VMs that went.

A VM is in the inventory as soon as its agent says that it is made, with the tags of its spec, so
that rights by tags hold from then on; what telemetry says of it afterwards counts.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from novacron_contract.commands import State, Verb
from novacron_contract.metrics import VM_HOST_ID, VM_NAME
from novacron_contract.vm_spec import OWNER
from novacron_store.state.commands.records import Command
from novacron_store.state.tables.inventory import vm_history, vms
from novacron_store.state.word import holder


@dataclass(frozen=True, slots=True, kw_only=True)
class Coming:
    """A VM that a command is to make, or has made."""

    vm_id: str
    name: str
    host_id: str
    identity_id: str  # of the agent that makes it
    memory_mib: int
    labels: dict[str, str]  # its owner and tags

    @property
    def resource(self) -> dict[str, str]:
        """As its agent will tell it, as far as rights go by that."""
        return {**self.labels, VM_NAME: self.name, VM_HOST_ID: self.host_id}


def coming(of: Command) -> Coming:
    spec: dict[str, Any] = of.arguments["spec"]
    owner = {OWNER: spec["owner"]} if spec.get("owner") else {}
    return Coming(
        vm_id=of.vm_id,
        name=of.vm_name,
        host_id=of.host_id,
        identity_id=of.identity_id,
        memory_mib=spec["memory_mib"],
        labels={**spec.get("tags", {}), **owner},
    )


def changes_population(old: Command, new: Command) -> bool:
    """Whether a VM came, or went, by what was said of this command."""
    succeeded = State.SUCCEEDED in (new.state, new.late)
    if not succeeded or State.SUCCEEDED in (old.state, old.late):
        return False
    is_deletion = new.verb is Verb.DELETE and not new.arguments.get("plan")
    return is_deletion or new.verb is Verb.CREATE


def settle(connection: Connection, done: Sequence[Command], now: datetime) -> None:
    _come([coming(one) for one in done if one.verb is Verb.CREATE], connection, now)
    _go([one for one in done if one.verb is Verb.DELETE], connection, now)


def _come(new: Sequence[Coming], connection: Connection, now: datetime) -> None:
    """Its agent's telemetry may have been faster. What others said of it is dropped: they may have
    read of it while it was being made, and claimed it."""
    ids = [one.vm_id for one in new]
    if not ids:
        return
    found = connection.execute(select(vms.c.id, holder(vms)).where(vms.c.id.in_(ids))).all()
    claimed = [vm_id for vm_id, by in found if by is None]
    connection.execute(delete(vm_history).where(vm_history.c.vm_id.in_(claimed)))
    connection.execute(delete(vms).where(vms.c.id.in_(claimed)))
    known = {vm_id for vm_id, by in found if by is not None}
    rows = [
        {
            "id": one.vm_id,
            "name": one.name,
            "host_id": one.host_id,
            "provider": "",
            "reported_by": one.identity_id,
            "first_seen": now,
            "last_seen": now,
            "resource": one.resource,
        }
        for one in new
        if one.vm_id not in known
    ]
    if rows:
        connection.execute(insert(vms), rows)
        names = ("name", "host_id")
        periods = [{"vm_id": row["id"], "since": now, **{n: row[n] for n in names}} for row in rows]
        connection.execute(insert(vm_history), periods)


def _go(done: Sequence[Command], connection: Connection, now: datetime) -> None:
    """From the host on which it was deleted: it may be on another one by now."""
    of_hosts: defaultdict[str, list[str]] = defaultdict(list)
    for one in done:
        of_hosts[one.host_id].append(one.vm_id)
    for host_id, ids in sorted(of_hosts.items()):
        there = vms.c.id.in_(sorted(ids)) & (vms.c.host_id == host_id)
        gone = connection.scalars(update(vms).where(there).values(deleted=now).returning(vms.c.id))
        of_them = vm_history.c.vm_id.in_(list(gone)) & vm_history.c.until.is_(None)
        connection.execute(update(vm_history).where(of_them).values(until=now))
