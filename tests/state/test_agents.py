"""The registry of agents."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine

from novacron_contract.errors import NotFound
from novacron_store.state import Agent, Agents

T0 = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


def an_agent(
    seconds: float = 0, *, id: str = "a-1", version: str = "0.1.0", offset: float | None = 0.5
) -> Agent:
    return Agent(id, "h1", version, 10.0, offset, T0 + timedelta(seconds=seconds))


def test_agent_is_registered_and_updated(engine: Engine) -> None:
    agents = Agents(engine)
    agents.see(an_agent(0), an_agent(0, id="a-2"))
    agents.see(an_agent(10, version="0.2.0", offset=-7.25))
    assert agents.all() == [an_agent(10, version="0.2.0", offset=-7.25), an_agent(0, id="a-2")]
    assert agents.agent("a-1").version == "0.2.0"


def test_older_news_and_unknown_offsets_change_nothing(engine: Engine) -> None:
    agents = Agents(engine)
    agents.see(an_agent(10, version="0.2.0"), an_agent(20, version="0.3.0", offset=None))
    agents.see(an_agent(10, version="0.2.0"))
    agents.see()
    assert agents.all() == [an_agent(20, version="0.3.0", offset=None)]
    agents.see(an_agent(30, offset=2.0))
    agents.see(an_agent(40, offset=None))
    assert agents.agent("a-1").clock_offset_s == 2.0


def test_unknown_agent_is_not_found(engine: Engine) -> None:
    with pytest.raises(NotFound, match="no agent has the id 'nobody'"):
        Agents(engine).agent("nobody")
