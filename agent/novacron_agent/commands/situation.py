"""What the settings, and whether the agent has joined a collector, make of commands."""

from __future__ import annotations

import logging
from functools import partial
from pathlib import Path

import httpx

from novacron_agent.agent import VERSION, provider_of
from novacron_agent.commands.channel import Way
from novacron_agent.commands.service import Situation
from novacron_agent.enrolment.membership import read_membership, ssl_context, state
from novacron_agent.providers.lifecycle import lifecycle_of
from novacron_agent.settings import Settings
from novacron_contract.errors import ConfigError, Unavailable

log = logging.getLogger(__name__)


def situation(settings: Settings, where: Path) -> Situation:
    """Connects to nothing.

    Raises:
        ConfigError: the provider does not exist, or does not take these options.
    """
    provider = provider_of(settings, where)
    return Situation(
        table=settings.commands,
        journal=settings.journal,
        way=way_of(settings.identity),
        lifecycle=None if provider is None else lifecycle_of(provider),
        provider="" if settings.provider is None else str(settings.provider["name"]),
        version=VERSION,
    )


def way_of(identity: Path) -> Way | None:
    """None: the agent has joined no collector, or what it got cannot be read."""
    try:
        joined = read_membership(identity)
    except ConfigError as err:
        log.error("commands: none are taken: %s", err)
        return None
    return None if joined is None else Way(partial(_connect, identity), partial(state, identity))


def _connect(identity: Path) -> httpx.Client:
    """Read anew each time: it may have been renewed, or have joined another collector."""
    joined = read_membership(identity)
    if joined is None:
        raise Unavailable("this agent has left its collector")
    return httpx.Client(base_url=joined.url, verify=ssl_context(identity), trust_env=True)
