"""Agents' identities and the certificates that prove them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Engine, RowMapping, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from novacron_contract.errors import Conflict, NotFound, Refused, TooMany
from novacron_store.state.audit import Audit, Entry
from novacron_store.state.database import reading, writing
from novacron_store.state.enrolment_changes import last_change, next_change
from novacron_store.state.join_tokens import use
from novacron_store.state.tables.enrolment import agent_certificates, agent_identities

# After the first use of a new certificate, for connections that were opened with the one before.
OLD_LASTS = timedelta(minutes=5)
_INSTANCES_KEPT = 16
_UNUSED = 5  # certificates of one agent that may wait for their first use
_CERTIFICATES_KEPT = timedelta(days=30)  # after their end, to tell of them


class Standing(StrEnum):
    ACTIVE = "active"
    QUARANTINED = "quarantined"  # two machines use it: neither may
    REVOKED = "revoked"


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """`host_id` None: the agent did not know it when it joined, and sent nothing yet. `instance` is
    of its journal."""

    agent_id: str
    host_id: str | None
    name: str
    version: str
    standing: Standing
    reason: str
    joined: datetime
    joined_by: str
    joined_from: str
    ended: datetime | None
    instance: str = ""
    instances_before: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Certificate:
    serial: str
    agent_id: str
    issued: datetime
    used: datetime | None
    ends: datetime


@dataclass(frozen=True, slots=True)
class Changes:
    """What is newer than a number, and the number to ask with next."""

    number: int
    identities: Sequence[Identity]
    certificates: Sequence[Certificate]


@dataclass(frozen=True, slots=True)
class Instance:
    """What became of an agent's journal: `before` is the one that was lost, or ""."""

    is_new: bool
    before: str = ""


@dataclass(frozen=True)
class Identities:
    engine: Engine

    def join(
        self, identity: Identity, certificate: Certificate, token_hash: str, *entries: Entry
    ) -> None:
        """Use a join token once more and add the identity: both or neither.

        Raises:
            Unauthenticated: the token is none, expired or used up.
            Conflict: the agent or its host has an identity.
        """
        agent_id = identity.agent_id
        try:
            with writing(self.engine) as connection:
                change = next_change(connection)
                use(connection, token_hash, identity.joined)
                known = _find(connection, agent_id)
                if known is not None and known.standing is not Standing.REVOKED:
                    raise Conflict(_TAKEN.format(what=f"the agent {agent_id}", agent_id=agent_id))
                _require_free(connection, identity.host_id, agent_id)
                row = {**_row(identity), "change": change}
                if known is None:
                    connection.execute(insert(agent_identities).values(row))
                else:
                    connection.execute(_of(agent_id).values(row))
                _add_certificate(connection, certificate, change)
                self._record(connection, entries)
        except IntegrityError as err:
            raise Conflict(f"the agent {agent_id} or its host joins twice at a time") from err

    def renew(self, certificate: Certificate, *entries: Entry) -> None:
        """
        Raises:
            Refused: the agent is not active.
            TooMany: it has several that it never used.
        """
        with writing(self.engine) as connection:
            change = next_change(connection)
            _require_active(_get(connection, certificate.agent_id))
            old = agent_certificates.c.ends < certificate.issued - _CERTIFICATES_KEPT
            connection.execute(delete(agent_certificates).where(old))
            of = agent_certificates.c
            unused = (of.agent_id == certificate.agent_id) & (of.used.is_(None))
            asked = select(func.count()).where(unused & (of.ends > certificate.issued))
            if connection.execute(asked).scalar_one() >= _UNUSED:
                raise TooMany(f"{_UNUSED} certificates of this agent wait for their first use")
            _add_certificate(connection, certificate, change)
            self._record(connection, entries)

    def used(self, serial: str, now: datetime) -> None:
        """The first use of a certificate: those before it end soon."""
        of = agent_certificates.c
        with writing(self.engine) as connection:
            change = next_change(connection)
            row = connection.execute(select(agent_certificates).where(of.serial == serial))
            found = row.mappings().one_or_none()
            if found is None or found["used"] is not None:
                return
            mark = update(agent_certificates).where(of.serial == serial)
            connection.execute(mark.values(used=now, change=change))
            earlier = (
                (of.agent_id == found["agent_id"])
                & (of.issued <= found["issued"])
                & (of.serial != serial)
                & (of.ends > now + OLD_LASTS)
            )
            end = update(agent_certificates).where(earlier)
            connection.execute(end.values(ends=now + OLD_LASTS, change=change))

    def end(
        self, agent_id: str, standing: Standing, reason: str, now: datetime, *entries: Entry
    ) -> Identity:
        """Revoke or quarantine.

        Raises:
            NotFound: there is no such agent.
            Conflict: it is revoked already.
        """
        with writing(self.engine) as connection:
            change = next_change(connection)
            known = _get(connection, agent_id)
            if known.standing is Standing.REVOKED:
                raise Conflict(f"the agent {agent_id} is revoked already")
            _end(connection, agent_id, standing, reason, now, change)
            self._record(connection, entries)
            return _get(connection, agent_id)

    def rename(self, agent_id: str, name: str, *entries: Entry) -> Identity:
        """
        Raises:
            NotFound: there is no such agent.
        """
        with writing(self.engine) as connection:
            change = next_change(connection)
            _get(connection, agent_id)
            connection.execute(_of(agent_id).values(name=name, change=change))
            self._record(connection, entries)
            return _get(connection, agent_id)

    def bind_host(self, agent_id: str, host_id: str, *entries: Entry) -> str:
        """The host of an agent that did not know it when it joined; once, whoever asks.

        Raises:
            Conflict: another agent has this host.
        """
        try:
            with writing(self.engine) as connection:
                change = next_change(connection)
                known = _get(connection, agent_id)
                if known.host_id is not None:
                    return known.host_id
                _require_free(connection, host_id, agent_id)
                connection.execute(_of(agent_id).values(host_id=host_id, change=change))
                self._record(connection, entries)
                return host_id
        except IntegrityError as err:
            raise Conflict(f"the host {host_id[:80]!r} is another agent's") from err

    def saw_instance(self, agent_id: str, instance: str, now: datetime, *copied: Entry) -> Instance:
        """An agent that begins a new journal does not go back to the one before. Two machines with
        one identity do: whoever comes back with an earlier instance is a copy, or was copied, and
        `copied` goes on record.

        Raises:
            Refused: it is a copy, and now quarantined; or it was not active any more.
        """
        with writing(self.engine) as connection:
            change = next_change(connection)
            known = _get(connection, agent_id)
            _require_active(known)
            if known.instance == instance:
                return Instance(is_new=False)
            if instance not in known.instances_before:
                kept = [known.instance, *known.instances_before][:_INSTANCES_KEPT]
                before = [one for one in kept if one]
                values = {"instance": instance, "instances_before": before, "change": change}
                connection.execute(_of(agent_id).values(values))
                return Instance(is_new=True, before=known.instance)
            _end(connection, agent_id, Standing.QUARANTINED, COPIED, now, change)
            self._record(connection, copied)
        raise Refused(COPIED)

    def _record(self, connection: Connection, entries: Sequence[Entry]) -> None:
        """In the same transaction, last."""
        if entries:
            Audit(self.engine).record(connection, *entries)

    def all(self) -> list[Identity]:
        order = agent_identities.c.name, agent_identities.c.agent_id
        with reading(self.engine) as connection:
            rows = connection.execute(select(agent_identities).order_by(*order)).mappings()
            return [_identity(row) for row in rows]

    def identity(self, agent_id: str) -> Identity:
        """
        Raises:
            NotFound: there is no such agent.
        """
        with reading(self.engine) as connection:
            return _get(connection, agent_id)

    def certificates(self, agent_id: str) -> list[Certificate]:
        """The newest first."""
        of = agent_certificates.c
        asked = select(agent_certificates).where(of.agent_id == agent_id)
        with reading(self.engine) as connection:
            rows = connection.execute(asked.order_by(of.issued.desc(), of.serial)).mappings()
            return [_certificate(row) for row in rows]

    def since(self, number: int) -> Changes:
        with reading(self.engine) as connection:
            newest = last_change(connection)
            if newest == number:
                return Changes(number, (), ())
            # What is committed meanwhile is newer than `newest`, and comes once more
            both = [
                connection.execute(select(table).where(table.c.change > number)).mappings().all()
                for table in (agent_identities, agent_certificates)
            ]
        return Changes(newest, [_identity(row) for row in both[0]], [*map(_certificate, both[1])])


COPIED = (
    "two machines use this identity, so neither may: revoke the agent, and let both join anew, "
    "the copy with its files in the agent's folder deleted"
)
_TAKEN = "{what} has an identity already: `novacron agent revoke {agent_id}` first"


def _require_free(connection: Connection, host_id: str | None, agent_id: str) -> None:
    of = agent_identities.c
    if host_id is None:
        return
    others = (of.host_id == host_id) & (of.agent_id != agent_id) & (of.standing != Standing.REVOKED)
    other = connection.execute(select(of.agent_id).where(others)).scalar_one_or_none()
    if other is not None:
        raise Conflict(_TAKEN.format(what=f"the host {host_id[:80]!r}", agent_id=other))


def _require_active(identity: Identity) -> None:
    if identity.standing is not Standing.ACTIVE:
        raise Refused(f"this agent is {identity.standing}: {identity.reason}")


def _end(
    connection: Connection,
    agent_id: str,
    standing: Standing,
    reason: str,
    now: datetime,
    change: int,
) -> None:
    values = {"standing": standing.value, "reason": reason, "ended": now, "change": change}
    connection.execute(_of(agent_id).values(values))
    if standing is Standing.REVOKED:
        of = agent_certificates.c
        open_ones = update(agent_certificates).where((of.agent_id == agent_id) & (of.ends > now))
        connection.execute(open_ones.values(ends=now, change=change))


def _add_certificate(connection: Connection, certificate: Certificate, change: int) -> None:
    row = {
        "serial": certificate.serial,
        "agent_id": certificate.agent_id,
        "issued": certificate.issued,
        "used": certificate.used,
        "ends": certificate.ends,
        "change": change,
    }
    connection.execute(insert(agent_certificates).values(row))


def _of(agent_id: str) -> Any:
    return update(agent_identities).where(agent_identities.c.agent_id == agent_id)


def _get(connection: Connection, agent_id: str) -> Identity:
    found = _find(connection, agent_id)
    if found is None:
        raise NotFound(f"no agent has joined as {agent_id[:80]!r}")
    return found


def _find(connection: Connection, agent_id: str) -> Identity | None:
    asked = select(agent_identities).where(agent_identities.c.agent_id == agent_id)
    row = connection.execute(asked).mappings().one_or_none()
    return None if row is None else _identity(row)


def _identity(row: RowMapping) -> Identity:
    values = {name: value for name, value in row.items() if name != "change"}
    values["standing"] = Standing(values["standing"])
    values["instances_before"] = tuple(values["instances_before"])
    return Identity(**values)


def _row(identity: Identity) -> dict[str, Any]:
    return {
        "agent_id": identity.agent_id,
        "host_id": identity.host_id,
        "name": identity.name,
        "version": identity.version,
        "standing": identity.standing.value,
        "reason": identity.reason,
        "joined": identity.joined,
        "joined_by": identity.joined_by,
        "joined_from": identity.joined_from,
        "ended": identity.ended,
        "instance": identity.instance,
        "instances_before": list(identity.instances_before),
    }


def _certificate(row: RowMapping) -> Certificate:
    return Certificate(row["serial"], row["agent_id"], row["issued"], row["used"], row["ends"])
