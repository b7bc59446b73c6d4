"""The registry of agents: which host each is on, its version, and how far off its clock is."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime

from sqlalchemy import Engine, func, select
from sqlalchemy.dialects import postgresql, sqlite

from novacron_contract.errors import NotFound
from novacron_store.state.database import reading, writing
from novacron_store.state.tables.inventory import agents

CLOCK_TOLERANCE_S = 5.0


@dataclass(frozen=True, slots=True)
class Agent:
    """`clock_offset_s`: its clock minus the collector's; None: not known."""

    id: str
    host_id: str
    version: str
    interval_s: float
    clock_offset_s: float | None
    last_seen: datetime

    @property
    def clock_is_wrong(self) -> bool:
        return abs(self.clock_offset_s or 0.0) > CLOCK_TOLERANCE_S


@dataclass(frozen=True)
class Agents:
    engine: Engine

    def see(self, *seen: Agent) -> None:
        """Add or update agents; older news than what is known is dropped."""
        rows = [asdict(agent) for agent in sorted(_newest(seen), key=lambda agent: agent.id)]
        if not rows:
            return
        dialect = sqlite if self.engine.dialect.name == "sqlite" else postgresql
        insert = dialect.insert(agents)
        new = insert.excluded
        upsert = insert.on_conflict_do_update(
            index_elements=[agents.c.id],
            set_={
                "host_id": new.host_id,
                "version": new.version,
                "interval_s": new.interval_s,
                "clock_offset_s": func.coalesce(new.clock_offset_s, agents.c.clock_offset_s),
                "last_seen": new.last_seen,
            },
            where=agents.c.last_seen <= new.last_seen,
        )
        with writing(self.engine) as connection:
            connection.execute(upsert, rows)

    def all(self) -> list[Agent]:
        with reading(self.engine) as connection:
            rows = connection.execute(select(agents).order_by(agents.c.id)).mappings()
            return [Agent(**row) for row in rows]

    def agent(self, agent_id: str) -> Agent:
        """
        Raises:
            NotFound: there is none.
        """
        with reading(self.engine) as connection:
            row = connection.execute(select(agents).where(agents.c.id == agent_id)).mappings()
            found = row.one_or_none()
        if found is None:
            raise NotFound(f"no agent has the id {agent_id!r}")
        return Agent(**found)


def _newest(seen: Iterable[Agent]) -> list[Agent]:
    newest: dict[str, Agent] = {}
    for agent in sorted(seen, key=lambda agent: agent.last_seen):
        newest[agent.id] = agent
    return list(newest.values())
