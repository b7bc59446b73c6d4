"""The agent: its sources, and the loop that scrapes and sends at every tick."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path

from novacron_agent.commands.service import CommandService
from novacron_agent.counts import Counts
from novacron_agent.delivery.batch import Gap
from novacron_agent.delivery.delivery import Delivery, check_files, gap_readings
from novacron_agent.host.scraper import Host
from novacron_agent.identity import Machine, persistent_id, this_machine
from novacron_agent.otlp import Encoder, Request
from novacron_agent.own_process import OwnProcess
from novacron_agent.providers import PROVIDERS, Provider
from novacron_agent.readings import Reading
from novacron_agent.selection import Selection
from novacron_agent.settings import Settings, provider_place
from novacron_agent.sources import Source, collect, collect_changes
from novacron_agent.status.file import StatusFile
from novacron_agent.status.status import status
from novacron_agent.wake import Wake
from novacron_contract.metrics import AGENT_SERVICE_NAME, HOST_ID, HOST_NAME

log = logging.getLogger(__name__)

VERSION = version("novacron")
_PATIENCE = 0.8  # of an interval: how long a tick waits for its sources
_FAREWELL_S = 3.0  # for what is still to bring to disk when the agent ends
_LETTING_GO_S = 1.0  # for each source to close its connection
_GATHERED_S = 0.2  # changes that come so soon after one are told with it
_CHANGES_S = 2.0  # so long they are waited for; else they come with the tick


@dataclass(frozen=True, slots=True)
class Measuring:
    machine: Machine
    sources: list[Source]
    counts: Counts


def measuring(settings: Settings, where: Path, wake: Wake) -> Measuring:
    """What the settings ask to measure; changes wake the agent.

    Raises:
        ConfigError: the provider does not exist, or does not take these options.
    """
    machine = this_machine(settings.agent.id_file, settings.agent.host_id)
    counts = Counts()
    sources = []
    if settings.host.enabled:
        sources.append(Source("host", Host(machine).scrape, counts))
    provider = provider_of(settings, where)
    if provider is not None and settings.provider is not None:
        name = settings.provider["name"]
        provider.watch(wake.change)
        own = machine if settings.host.enabled else None
        scrape, changes = partial(provider.scrape, own), partial(provider.changes, own)
        sources.append(Source(name, scrape, counts, provider.close, changes))
    return Measuring(machine, sources, counts)


def provider_of(settings: Settings, where: Path) -> Provider | None:
    """The one that is named; it connects when it is used.

    Raises:
        ConfigError: it does not exist, or does not take these options.
    """
    if settings.provider is None:
        return None
    options = dict(settings.provider)
    provider: Provider = PROVIDERS.create(options.pop("name"), options, where=provider_place(where))
    return provider


def verify(settings: Settings, where: Path) -> None:
    """Try what can be wrong without measuring.

    Raises:
        ConfigError: measuring or sending would not begin with these.
    """
    provider_of(settings, where)
    persistent_id(settings.agent.id_file)
    for there in settings.all_destinations:
        check_files(there, VERSION)


def run(
    settings: Settings,
    agent_id: str,
    measured: Measuring,
    wake: Wake,
    commands: CommandService,
) -> None:
    """Scrape and send at every interval, and changes at once, until the end."""
    encoder = Encoder(VERSION)
    own = OwnResource(agent_id, settings.agent.interval, measured.machine.resource)

    def encode_gaps(destination: str, gaps: list[Gap]) -> Request:
        return Encoder(VERSION).encode(gap_readings(own.after([]), destination, gaps))[0]

    delivery = Delivery(settings.all_destinations, settings.spool, VERSION, encode_gaps)
    delivery.start()
    selection = Selection(settings.metrics)
    process, status_file = OwnProcess(), StatusFile(settings.status_file)
    names = ", ".join(source.name for source in measured.sources)
    places = ", ".join(there.endpoint for there in settings.all_destinations)
    interval = settings.agent.interval
    log.info("agent %s: %s every %g s, to %s", agent_id, names, interval, places)
    for is_tick in ticks(interval, wake):
        if is_tick:
            readings = collect(measured.sources, interval * _PATIENCE, wake)
            itself = measured.counts.reading(own.after(readings))
            delivery.add_to(itself)
            commands.add_to(itself)
            readings += [itself, process.reading(itself.resource)]
            said = {source.name: {"trouble": source.complaint} for source in measured.sources}
            now = status(itself, process, said, delivery.said(), interval)
            status_file.offer(replace(now, commands=commands.said()))
        else:
            readings = collect_changes(measured.sources, _CHANGES_S, wake)
        for request in encoder.encode(selection.of(readings, rarely=is_tick)):
            delivery.offer(request)
    delivery.close(_FAREWELL_S)
    status_file.close(_LETTING_GO_S)
    for source in measured.sources:
        source.end(_LETTING_GO_S)


def ticks(interval: float, wake: Wake) -> Iterator[bool]:
    """Yield True now and at every interval, and False for changes in between; ticks that were
    missed are left out, not caught up on."""
    due = time.monotonic()
    while not wake.is_stopping:
        yield True
        late = time.monotonic() - due
        due += interval * max(1, math.ceil(late / interval))
        while wake.wait(due) and time.monotonic() < due:
            wake.pause(max(0.0, min(_GATHERED_S, due - time.monotonic())))  # changes come in swarms
            yield False


class OwnResource:
    """The agent as a service on the host it reports: its own machine, or the one whose libvirt it
    asks from elsewhere."""

    def __init__(self, agent_id: str, interval: float, machine: Mapping[str, str | float]) -> None:
        self._host = {name: machine[name] for name in (HOST_ID, HOST_NAME)}
        self._service: dict[str, str | float] = {
            "service.name": AGENT_SERVICE_NAME,
            "service.instance.id": agent_id,
            "service.version": VERSION,
            "novacron.agent.interval": interval,
        }

    def after(self, readings: Iterable[Reading]) -> dict[str, str | float]:
        for reading in readings:
            if HOST_ID in reading.resource:
                self._host = {name: reading.resource[name] for name in (HOST_ID, HOST_NAME)}
                break
        return {**self._service, **self._host}
