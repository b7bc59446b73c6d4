"""Keeps the inventory: who reports, which hosts and VMs there are, when each was last heard of."""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable, Iterable, Mapping, Set
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from novacron_contract.errors import NovaCronError
from novacron_contract.metrics import (
    AGENT_SERVICE_NAME,
    HOST_ID,
    HOST_NAME,
    VM_HOST_ID,
    VM_NAME,
)
from novacron_store.state import Agent, Agents, Host, Inventory, Vm
from novacron_store.state.freshness import DEFAULT_INTERVAL_S
from novacron_store.state.machines import Touch

log = logging.getLogger(__name__)

_SAID_EVERY = timedelta(hours=1)


class Sighting(NamedTuple):  # one per machine and append: a tuple is made in a third of the time
    """An entity had points in a request that was stored.

    `seen` is the time of the newest point by the sender's clock, `clock_offset_s` that clock minus
    ours (None: the sender did not tell), `reported_by` the identity that the sender proved.
    """

    entity: str
    entity_type: str  # vm | host | service | other
    resource: Mapping[str, str]
    seen: datetime
    clock_offset_s: float | None = None
    reported_by: str | None = None


# What is nobody's word is kept apart from what an agent with an identity says of the same entity.
_Key = tuple[bool, str, str]


def _key(sighting: Sighting) -> _Key:
    return sighting.reported_by is not None, sighting.entity_type, sighting.entity


@dataclass
class InventoryKeeper:
    """Takes sightings from any thread and writes them every `flush_s` seconds from its own.

    `more` is asked then for what else was seen.
    """

    inventory: Inventory
    agents: Agents
    flush_s: float = 2.0
    more: Callable[[], Iterable[Sighting]] = tuple
    # Anybody may name machines: memory and disk have a limit, one for agents and one for others.
    max_entities: int = 200_000
    now: Callable[[], datetime] = field(default=lambda: datetime.now(UTC))
    refused: int = 0  # sightings of entities beyond the limit
    disputed: int = 0  # sightings that contradict what an agent with an identity told

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._known: tuple[set[_Key], set[_Key]] = (set(), set())
        self._pending: dict[_Key, Sighting] = {}
        self._written: dict[_Key, Sighting] = {}  # VMs, by the thread that writes
        self._say_again = datetime.min.replace(tzinfo=UTC)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="inventory", daemon=True)

    def observe(self, sightings: Iterable[Sighting]) -> None:
        """Remember what was seen; costs no I/O."""
        now = self.now()
        with self._lock:
            for sighting in sightings:
                self._remember(sighting, now)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Write what is pending and end."""
        self._stopping.set()
        self._thread.join()

    def flush(self) -> None:
        """Write what is pending; what cannot be written stays pending.

        Raises:
            Unavailable: the state database does not answer.
        """
        self.observe(self.more())
        with self._lock:
            pending, self._pending = self._pending, {}
        try:
            self._write(list(pending.values()))
        except NovaCronError:
            with self._lock:
                for key, sighting in pending.items():
                    newer = self._pending.get(key)
                    self._pending[key] = _newest(sighting, newer) if newer else sighting
            raise

    def _run(self) -> None:
        reachable = True
        stopping = False
        while not stopping:
            stopping = self._stopping.wait(self.flush_s)
            try:
                self.flush()
            except NovaCronError as err:
                if reachable:
                    log.error("the inventory cannot be written, trying again: %s", err)
                reachable = False
            else:
                if not reachable:
                    log.info("the inventory is written again")
                reachable = True

    def _remember(self, sighting: Sighting, now: datetime) -> None:
        key = _key(sighting)
        known = self._known[key[0]]
        if key not in known:
            if len(known) >= self.max_entities:
                self.refused += 1
                return
            known.add(key)
        ours = _by_our_clock(sighting.seen, sighting.clock_offset_s, now)
        other = self._pending.get(key)
        if other is None or other.seen <= ours:
            self._pending[key] = sighting._replace(seen=ours)

    def _write(self, seen: list[Sighting]) -> None:
        """What agents with an identity say first: others are then told apart by what is written."""
        for proven in (True, False):
            some = [sighting for sighting in seen if (sighting.reported_by is not None) is proven]
            if some:
                self._write_some(some)

    def _write_some(self, seen: list[Sighting]) -> None:
        hosts = [_host(s) for s in seen if s.entity_type == "host"]
        vms = [s for s in seen if s.entity_type == "vm"]
        agents = [_agent(s) for s in seen if _is_agent(s)]
        if hosts:
            self._dispute("host", self.inventory.see_hosts(hosts).disputed)
        if vms:
            self._dispute("VM", self._write_vms(vms))
        if agents:
            self._dispute("agent", self.agents.see(*agents))

    def _write_vms(self, seen: list[Sighting]) -> set[str]:
        """Most VMs say what they said before: of those only the time is written. Return those that
        somebody disputes."""
        moves = {}
        for new in seen:
            old = self._written.get(_key(new))
            if old is not None and old.seen < new.seen and _says_the_same(old, new):
                moves[new.entity] = Touch(old.seen, new.seen, new.reported_by)
        known = self.inventory.touch_vms(moves) if moves else set()
        others = [_vm(sighting) for sighting in seen if sighting.entity not in known]
        told = self.inventory.see_vms(others)
        known |= told.current
        for sighting in seen:
            if sighting.entity in known:
                self._written[_key(sighting)] = sighting
            else:
                self._written.pop(_key(sighting), None)
        return told.disputed

    def _dispute(self, kind: str, ids: Set[str]) -> None:
        self.disputed += len(ids)
        now = self.now()
        if ids and now >= self._say_again:
            self._say_again = now + _SAID_EVERY
            log.warning(
                "a sender without an agent's identity tells of %s %r otherwise than its agent, and "
                "is not believed (said once an hour)",
                *(kind, min(ids)[:80]),
            )


def _by_our_clock(seen: datetime, offset_s: float | None, now: datetime) -> datetime:
    """Freshness is told by one clock, ours, however wrong the sender's is."""
    try:
        return min(seen - timedelta(seconds=offset_s), now) if offset_s else min(seen, now)
    except (OverflowError, ValueError):  # a clock said to be infinitely wrong
        return now


def _says_the_same(one: Sighting, other: Sighting) -> bool:
    return (one.reported_by, one.resource) == (other.reported_by, other.resource)


def _newest(one: Sighting, other: Sighting) -> Sighting:
    return one if one.seen >= other.seen else other


def _host(sighting: Sighting) -> Host:
    told = dict(sighting.resource)
    return Host(
        id=sighting.entity,
        name=told.get(HOST_NAME) or sighting.entity,
        first_seen=sighting.seen,
        last_seen=sighting.seen,
        arch=told.get("host.arch", ""),
        os=told.get("os.description") or told.get("os.type", ""),
        resource=told,
        reported_by=sighting.reported_by,
    )


def _vm(sighting: Sighting) -> Vm:
    told = dict(sighting.resource)
    return Vm(
        id=sighting.entity,
        name=told.get(VM_NAME) or sighting.entity,
        host_id=told.get(VM_HOST_ID, ""),
        first_seen=sighting.seen,
        last_seen=sighting.seen,
        provider=told.get("cloud.provider") or ("kvm" if VM_HOST_ID in told else ""),
        resource=told,
        reported_by=sighting.reported_by,
    )


def _is_agent(sighting: Sighting) -> bool:
    told = sighting.resource
    return told.get("service.name") == AGENT_SERVICE_NAME and bool(told.get("service.instance.id"))


def _agent(sighting: Sighting) -> Agent:
    told = sighting.resource
    return Agent(
        id=told["service.instance.id"],
        host_id=told.get(HOST_ID, ""),
        version=told.get("service.version", ""),
        interval_s=_interval(told.get("novacron.agent.interval", "")),
        clock_offset_s=sighting.clock_offset_s,
        last_seen=sighting.seen,
        reported_by=sighting.reported_by,
    )


def _interval(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        return DEFAULT_INTERVAL_S
    return seconds if math.isfinite(seconds) and 0 < seconds <= 86400 else DEFAULT_INTERVAL_S
