"""What commands mean for the inventory: VMs that came by one, and VMs that went.

A VM is in the inventory as soon as its agent says that it is made, with the tags of its spec, so
that rights by tags hold from then on; what telemetry says of it afterwards counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, insert, select, update

from novacron_contract.commands import State, Verb
from novacron_contract.metrics import VM_HOST_ID, VM_NAME
from novacron_contract.vm_spec import OWNER
from novacron_store.state.commands.records import Command
from novacron_store.state.tables.inventory import vm_history, vms


@dataclass(frozen=True, slots=True, kw_only=True)
class Coming:
    """A VM that a command is to make, or has made."""

    vm_id: str
    name: str
    host_id: str
    identity_id: str  # of the agent that makes it
    memory_mib: int
    labels: dict[str, str]  # its owner and tags


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
    _go([one.vm_id for one in done if one.verb is Verb.DELETE], connection, now)


def _come(new: Sequence[Coming], connection: Connection, now: datetime) -> None:
    """Its agent's telemetry may have been faster."""
    ids = [one.vm_id for one in new]
    if not ids:
        return
    known = set(connection.scalars(select(vms.c.id).where(vms.c.id.in_(ids))))
    rows = [
        {
            "id": one.vm_id,
            "name": one.name,
            "host_id": one.host_id,
            "provider": "",
            "reported_by": one.identity_id,
            "first_seen": now,
            "last_seen": now,
            "resource": {**one.labels, VM_NAME: one.name, VM_HOST_ID: one.host_id},
        }
        for one in new
        if one.vm_id not in known
    ]
    if rows:
        connection.execute(insert(vms), rows)
        names = ("name", "host_id")
        periods = [{"vm_id": row["id"], "since": now, **{n: row[n] for n in names}} for row in rows]
        connection.execute(insert(vm_history), periods)


def _go(ids: Iterable[str], connection: Connection, now: datetime) -> None:
    which = sorted(ids)
    if not which:
        return
    connection.execute(update(vms).where(vms.c.id.in_(which)).values(deleted=now))
    of_them = vm_history.c.vm_id.in_(which) & vm_history.c.until.is_(None)
    connection.execute(update(vm_history).where(of_them).values(until=now))
