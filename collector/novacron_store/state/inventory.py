"""Every host and VM that was ever seen, and under which name and on which host a VM ran."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, TypeVar

from sqlalchemy import (
    Connection,
    Engine,
    RowMapping,
    Table,
    bindparam,
    delete,
    select,
    update,
)

from novacron_contract.errors import BadMessage, NotFound
from novacron_store.state.database import reading, writing
from novacron_store.state.machines import (
    Host,
    Machine,
    Seen,
    Touch,
    Vm,
    VmPeriod,
    as_seen,
    believe,
    has_moved,
    merge,
    newest_first,
)
from novacron_store.state.tables.inventory import agents, hosts, vm_history, vms
from novacron_store.state.word import columns, holder

HISTORY_LIMIT = 500  # periods kept per VM: two agents that contradict each other cannot fill a disk
_CHUNK = 500  # ids in one statement


Row = TypeVar("Row")


@dataclass(frozen=True)
class Inventory:
    engine: Engine

    def see_hosts(self, seen: Iterable[Host]) -> Seen:
        """Add or update hosts. What is older than what is known only moves `first_seen`, and what
        is nobody's word changes nothing that is an agent's."""
        every = Seen(set(), set())
        with writing(self.engine) as connection:
            for chunk in _chunks(newest_first(seen)):
                known = _known_hosts(connection, chunk)
                believed = believe(known, chunk, every.disputed)
                _upsert(connection, hosts, known, believed)
                every.current.update(as_seen(known, believed, chunk))
        return every

    def see_vms(self, seen: Iterable[Vm]) -> Seen:
        """The same of VMs; a new name or host begins a new period of the VM's history."""
        every, newest = Seen(set(), set()), newest_first(seen)
        if not newest:
            return every
        with writing(self.engine) as connection:
            for chunk in _chunks(newest):
                known = _known_vms(connection, chunk)
                believed = believe(known, chunk, every.disputed)
                _upsert(connection, vms, known, believed)
                _begin_periods(
                    connection, [vm for vm in believed if has_moved(known.get(vm.id), vm)]
                )
                every.current.update(as_seen(known, believed, chunk))
        return every

    def touch_vms(self, seen: Mapping[str, Touch]) -> set[str]:
        """Move `last_seen` of VMs from one time to a later one; a fifth of what `see_vms` costs.

        Return the ids of those where that is certain to be done: nobody had written them since.
        """
        touched: set[str] = set()
        with writing(self.engine) as connection:
            for chunk in _chunks(sorted(seen)):
                rows = [{"key": key, **seen[key]._asdict()} for key in chunk]
                if connection.execute(_TOUCH, rows).rowcount == len(rows):
                    touched.update(chunk)
        return touched

    def hosts(self) -> list[Host]:
        """Every host, by name."""
        with reading(self.engine) as connection:
            rows = connection.execute(_HOSTS.order_by(hosts.c.name, hosts.c.id)).mappings()
            return [_host(row) for row in rows]

    def vms(self, *, deleted: bool = False) -> list[Vm]:
        """Every VM that was not deleted, by name; or those that were."""
        is_gone = vms.c.deleted.is_not(None) if deleted else vms.c.deleted.is_(None)
        statement = _VMS.where(is_gone).order_by(vms.c.name, vms.c.id)
        with reading(self.engine) as connection:
            return [_vm(row) for row in connection.execute(statement).mappings()]

    def host(self, id_or_name: str) -> Host:
        """
        Raises:
            NotFound: there is none.
            BadMessage: several have that name.
        """
        statement = _HOSTS.where((hosts.c.id == id_or_name) | (hosts.c.name == id_or_name))
        with reading(self.engine) as connection:
            rows = connection.execute(statement.limit(_CHUNK)).mappings()
            return _the_one("host", id_or_name, [_host(row) for row in rows])

    def vm(self, id_or_name: str) -> Vm:
        """One that was deleted is found by its id, and by a name that no other one has.

        Raises:
            NotFound: there is none.
            BadMessage: several have that name.
        """
        statement = _VMS.where((vms.c.id == id_or_name) | (vms.c.name == id_or_name))
        with reading(self.engine) as connection:
            rows = connection.execute(statement.limit(_CHUNK)).mappings()
            found = [_vm(row) for row in rows]
        there = [vm for vm in found if vm.deleted is None or vm.id == id_or_name]
        return _the_one("VM", id_or_name, there or found)

    def history(self, vm_id: str) -> list[VmPeriod]:
        """The VM's names and hosts, newest first."""
        columns = [column for column in vm_history.c if column.name != "vm_id"]
        statement = select(*columns).where(vm_history.c.vm_id == vm_id)
        with reading(self.engine) as connection:
            rows = connection.execute(statement.order_by(vm_history.c.since.desc())).mappings()
            return [VmPeriod(**row) for row in rows]


_TOUCH = (
    update(vms)
    .where(
        vms.c.id == bindparam("key"),
        vms.c.last_seen == bindparam("old"),
        vms.c.reported_by.is_not_distinct_from(bindparam("by")),
        vms.c.deleted.is_(None),
    )
    .values(last_seen=bindparam("new"))
)
_AGENT_OF_HOST = (
    select(agents.c.id)
    .where(agents.c.host_id == hosts.c.id)
    .order_by(holder(agents).is_(None), agents.c.last_seen.desc())
    .limit(1)
    .scalar_subquery()
)
_HOSTS = select(*columns(hosts), _AGENT_OF_HOST.label("agent_id"))
_VMS = select(*columns(vms))


def _host(row: RowMapping) -> Host:
    return Host(**{**row, "agent_id": row["agent_id"] or ""})


def _vm(row: RowMapping) -> Vm:
    return Vm(**row)


def _the_one(kind: str, id_or_name: str, found: Sequence[Machine]) -> Machine:
    """An id wins over another machine's name, which anybody can choose."""
    exact = [machine for machine in found if machine.id == id_or_name] or found
    if not exact:
        raise NotFound(f"no {kind} has the id or name {id_or_name!r}")
    if len(exact) > 1:
        ids = ", ".join(machine.id for machine in exact[:5])
        raise BadMessage(f"{len(exact)} {kind}s are called {id_or_name!r}, use an id: {ids}")
    return exact[0]


def _chunks(rows: Sequence[Row]) -> Iterator[list[Row]]:
    rest = iter(rows)
    while chunk := list(islice(rest, _CHUNK)):
        yield chunk


def _known_hosts(connection: Connection, chunk: Sequence[Host]) -> dict[str, Host]:
    return {row["id"]: Host(**row) for row in _locked(connection, hosts, [h.id for h in chunk])}


def _known_vms(connection: Connection, chunk: Sequence[Vm]) -> dict[str, Vm]:
    return {row["id"]: Vm(**row) for row in _locked(connection, vms, [vm.id for vm in chunk])}


def _locked(connection: Connection, table: Table, ids: Sequence[str]) -> Sequence[RowMapping]:
    statement = select(*columns(table)).where(table.c.id.in_(ids)).order_by(table.c.id)
    return connection.execute(statement.with_for_update(of=table)).mappings().all()


def _upsert(
    connection: Connection, table: Table, known: dict[str, Machine], seen: Sequence[Machine]
) -> None:
    """Rows that did not change get a new `last_seen` and no more."""
    added, changed, touched = [], [], []
    for machine in seen:
        old = known.get(machine.id)
        if old is None:
            added.append(_row(table, machine))
            continue
        merged = merge(old, machine)
        if replace(merged, last_seen=old.last_seen) != old:
            changed.append(_row(table, merged))
        elif merged.last_seen != old.last_seen:
            values = {"last_seen": merged.last_seen, "by": merged.reported_by}
            touched.append({"key": merged.id, **values})
    if added:
        connection.execute(table.insert(), added)
    by_key = update(table).where(table.c.id == bindparam("key"))
    if changed:
        connection.execute(by_key, [{**row, "key": row["id"]} for row in changed])
    if touched:
        time = by_key.values(last_seen=bindparam("last_seen"), reported_by=bindparam("by"))
        connection.execute(time, touched)


def _row(table: Table, machine: Host | Vm) -> dict[str, Any]:
    return {column.name: getattr(machine, column.name) for column in table.c}


def _begin_periods(connection: Connection, moved: Sequence[Vm]) -> None:
    if not moved:
        return
    history = vm_history.c
    end = update(vm_history).where(history.vm_id == bindparam("key"), history.until.is_(None))
    connection.execute(
        end.values(until=bindparam("now")),
        [{"key": vm.id, "now": vm.last_seen} for vm in moved],
    )
    periods = [
        {"vm_id": vm.id, "since": vm.last_seen, "name": vm.name, "host_id": vm.host_id}
        for vm in moved
    ]
    connection.execute(vm_history.insert(), periods)
    _forget_oldest(connection, [vm.id for vm in moved])


def _forget_oldest(connection: Connection, ids: Sequence[str]) -> None:
    history = vm_history.c
    for vm_id in ids:
        oldest_kept = connection.scalar(
            select(history.since)
            .where(history.vm_id == vm_id)
            .order_by(history.since.desc())
            .offset(HISTORY_LIMIT - 1)
            .limit(1)
        )
        if oldest_kept is not None:
            connection.execute(
                delete(vm_history).where(history.vm_id == vm_id, history.since < oldest_kept)
            )
