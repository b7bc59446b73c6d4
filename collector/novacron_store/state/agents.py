"""The registry of agents: which host each is on, its version, and how far off its clock is."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime

from sqlalchemy import Connection, Engine, Executable, func, select
from sqlalchemy.dialects import postgresql, sqlite

from novacron_contract.errors import NotFound
from novacron_store.state.database import reading, writing
from novacron_store.state.tables.inventory import agents
from novacron_store.state.word import columns, holder

CLOCK_TOLERANCE_S = 5.0


@dataclass(frozen=True, slots=True)
class Agent:
    """`clock_offset_s`: its clock minus the collector's; None: not known. `reported_by`:
    the identity of the agent whose word this is; None: anybody's."""

    id: str
    host_id: str
    version: str
    interval_s: float
    clock_offset_s: float | None
    last_seen: datetime
    reported_by: str | None = None

    @property
    def clock_is_wrong(self) -> bool:
        return abs(self.clock_offset_s or 0.0) > CLOCK_TOLERANCE_S


@dataclass(frozen=True)
class Agents:
    engine: Engine

    def see(self, *seen: Agent) -> set[str]:
        """Add or update agents; older news than what is known is dropped.

        Return the ids of those that stay as an agent with an identity told, as these have none.
        """
        newest = sorted(_newest(seen), key=lambda agent: agent.id)
        if not newest:
            return set()
        with writing(self.engine) as connection:
            held = _held(connection, [one.id for one in newest if one.reported_by is None])
            rows = [asdict(agent) for agent in newest if agent.id not in held]
            if rows:
                connection.execute(self._upsert(), rows)
        return held

    def _upsert(self) -> Executable:
        dialect = sqlite if self.engine.dialect.name == "sqlite" else postgresql
        insert = dialect.insert(agents)
        new = insert.excluded
        is_free, is_proven = holder(agents).is_(None), new.reported_by.is_not(None)
        is_news = agents.c.last_seen <= new.last_seen
        upsert: Executable = insert.on_conflict_do_update(
            index_elements=[agents.c.id],
            set_={
                "host_id": new.host_id,
                "version": new.version,
                "interval_s": new.interval_s,
                "clock_offset_s": func.coalesce(new.clock_offset_s, agents.c.clock_offset_s),
                "last_seen": new.last_seen,
                "reported_by": new.reported_by,
            },
            where=(is_news & (is_free | is_proven)) | (is_free & is_proven),
        )
        return upsert

    def all(self) -> list[Agent]:
        with reading(self.engine) as connection:
            rows = connection.execute(_AGENTS.order_by(agents.c.id)).mappings()
            return [Agent(**row) for row in rows]

    def agent(self, agent_id: str) -> Agent:
        """
        Raises:
            NotFound: there is none.
        """
        with reading(self.engine) as connection:
            row = connection.execute(_AGENTS.where(agents.c.id == agent_id)).mappings()
            found = row.one_or_none()
        if found is None:
            raise NotFound(f"no agent has the id {agent_id!r}")
        return Agent(**found)


def intervals(agents: Iterable[Agent]) -> dict[str, float]:
    """How often the agent of each host sends, in seconds: of several, one with an identity speaks
    for its host, and otherwise who was heard of last."""
    return {agent.host_id: agent.interval_s for agent in sorted(agents, key=weight)}


_AGENTS = select(*columns(agents))


def _held(connection: Connection, ids: list[str]) -> set[str]:
    if not ids:
        return set()
    held = select(agents.c.id).where(agents.c.id.in_(ids), holder(agents).is_not(None))
    return set(connection.execute(held).scalars())


def _newest(seen: Iterable[Agent]) -> list[Agent]:
    return list({agent.id: agent for agent in sorted(seen, key=weight)}.values())


def weight(agent: Agent) -> tuple[bool, datetime]:
    """What an agent's word is worth where several speak."""
    return agent.reported_by is not None, agent.last_seen
