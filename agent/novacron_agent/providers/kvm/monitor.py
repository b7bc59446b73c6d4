"""What only a guest's QEMU knows, asked for in small shards with a deadline.

A QEMU that hangs makes the call hang that asks it. Who is in such a call is left alone until it
returns: it is the probe, and no other call waits for that guest (NOWAIT passes over a guest that is
asked by another call). libvirtd has twenty threads for all who use it, so few calls may hang.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar

import libvirt

from novacron_agent.providers.kvm.caller import Ask, Call, Caller
from novacron_agent.providers.kvm.statistics import Stats
from novacron_contract.errors import NovaCronError

log = logging.getLogger(__name__)
T = TypeVar("T")

_SHARD = 16  # guests of one call: 0.1 s when nothing hangs
_DEADLINE_S = 3.0
_PATIENCE = 4  # deadlines that a call may take on a loaded host, while no guest of it hangs
_HANGING = 4  # calls at once
_HANDLES = 4096
_ELSE = ""  # in the place of a guest's UUID: the call is about none
_NOWAIT = libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT
_OCCUPIED = libvirt.VIR_DOMAIN_CONTROL_OCCUPIED


@dataclass(frozen=True, slots=True)
class Asked:
    """A guest to ask for some groups of statistics, and for the job it is in."""

    uuid: str
    run: int
    groups: int
    job: bool


@dataclass(frozen=True, slots=True)
class Answer:
    """`job`: libvirt's statistics of a migration, a snapshot, ...; empty while there is none."""

    uuid: str
    run: int
    stats: Stats
    job: Stats
    time_ns: int


@dataclass(slots=True)
class Round:
    """What came of asking: `failures`, one sentence each."""

    answers: list[Answer] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


class Monitors:
    """For one thread, which waits for all answers, but for none that hangs."""

    def __init__(self, uri: str, deadline_s: float = _DEADLINE_S) -> None:
        self._uri = uri
        self._deadline_s = deadline_s
        self._caller: Caller | None = None
        self._watcher: Caller | None = None
        self._hanging: dict[str, Call[Any]] = {}  # uuid -> the call it is in
        self._handles = Handles()

    @property
    def hanging(self) -> set[str]:
        """The guests that are in a call which has not returned."""
        self._hanging = {u: call for u, call in self._hanging.items() if not call.done.is_set()}
        return set(self._hanging)

    @property
    def hanging_guests(self) -> set[str]:
        return self.hanging - {_ELSE}

    def ask(self, guests: Iterable[Asked]) -> Round:
        found = Round()
        for shard in _shards(guests):
            self._ask_shard(shard, found)
        return found

    def call(self, ask: Ask[T]) -> T | None:
        """Something else that may hang; None when it did, or failed, or hangs since before."""
        if _ELSE in self.hanging or self._are_too_many_hanging():
            return None
        call = self._start().begin(ask)
        if self._wait(call, ()):
            return call.result
        return None

    def close(self) -> None:
        for caller in (self._caller, self._watcher):
            if caller is not None:
                caller.end()
        self._caller = self._watcher = None

    def _ask_shard(self, shard: list[Asked], found: Round) -> None:
        """Once more without those that hang, until nobody of it does."""
        while shard := [guest for guest in shard if guest.uuid not in self.hanging]:
            if self._are_too_many_hanging():
                found.failures.append("too many guests hang: the others' QEMUs are not asked")
                return
            call = self._start().begin(self._question(shard))
            if self._wait(call, [guest.uuid for guest in shard]):
                _note(call, shard, found)
                return

    def _are_too_many_hanging(self) -> bool:
        return len(self.hanging) > 0 and len({*map(id, self._hanging.values())}) >= _HANGING

    def _start(self) -> Caller:
        if self._caller is None:
            self._caller = Caller(self._uri, "ask guests")
        return self._caller

    def _question(self, shard: list[Asked]) -> Ask[list[Answer]]:
        groups = shard[0].groups

        def ask(conn: libvirt.virConnect) -> list[Answer]:
            domains = self._handles.of(conn, [guest.uuid for guest in shard])
            stats: dict[str, Stats] = {}
            if groups and domains:
                records = conn.domainListGetStats(list(domains.values()), groups, _NOWAIT)
                stats = {domain.UUIDString(): found for domain, found in records}
            jobs = {
                guest.uuid: _job(domains[guest.uuid])
                for guest in shard
                if guest.job and guest.uuid in domains
            }
            now = time.time_ns()
            return [
                Answer(g.uuid, g.run, stats.get(g.uuid, {}), jobs.get(g.uuid, {}), now)
                for g in shard
            ]

        return ask

    def _wait(self, call: Call[Any], uuids: Collection[str]) -> bool:
        """False when it hangs: its thread is left to it, and for whom it hangs is noted."""
        for _ in range(_PATIENCE):
            if call.done.wait(self._deadline_s):
                return True
            if occupied := self._occupied(uuids):
                break
        else:
            occupied = set(uuids) or {_ELSE}  # nobody can tell for whom
        if self._caller is not None:
            self._caller.end()
            self._caller = None
        self._hanging |= dict.fromkeys(occupied, call)
        return call.done.is_set()

    def _occupied(self, uuids: Collection[str]) -> set[str]:
        """Whose QEMU has been busy with one question for half of the deadline; of a guest in a
        migration or another job libvirt tells the job in place of the question."""
        if self._watcher is None:
            self._watcher = Caller(self._uri, "watch guests")
        long_ms = self._deadline_s * 500

        def look(conn: libvirt.virConnect) -> set[str]:
            occupied, working = set[str](), set[str]()
            for uuid, domain in Handles().of(conn, uuids).items():
                with contextlib.suppress(libvirt.libvirtError):  # it ended since
                    state, _details, since_ms = domain.controlInfo()
                    if since_ms >= long_ms:
                        (occupied if state == _OCCUPIED else working).add(uuid)
            return occupied or working

        call = self._watcher.begin(look)
        if not call.done.wait(self._deadline_s):
            self._watcher.end()
            self._watcher = None
        return call.result or set()


class Handles:
    """libvirt's domains by UUID, of one connection at a time: a look-up is a round trip."""

    def __init__(self) -> None:
        self._conn: libvirt.virConnect | None = None
        self._known: dict[str, Any] = {}

    def of(self, conn: libvirt.virConnect, uuids: Collection[str]) -> dict[str, Any]:
        """Without those that are gone."""
        if conn is not self._conn or len(self._known) > _HANDLES:
            self._conn, self._known = conn, {}
        for uuid in uuids:
            if uuid not in self._known:
                try:
                    self._known[uuid] = conn.lookupByUUIDString(uuid)
                except libvirt.libvirtError as err:
                    if err.get_error_code() != libvirt.VIR_ERR_NO_DOMAIN:
                        raise
        return {uuid: self._known[uuid] for uuid in uuids if uuid in self._known}


def _job(domain: Any) -> Stats:
    try:
        job: dict[str, Any] = domain.jobStats()
    except libvirt.libvirtError:  # it ended since, or its driver has no jobs
        return {}
    return job if job.get("type") else {}


def _note(call: Call[list[Answer]], shard: list[Asked], found: Round) -> None:
    if call.error is None:
        found.answers += call.result or []
        return
    found.failures.append(str(call.error))
    if not isinstance(call.error, NovaCronError):
        log.warning("%d guests could not be asked", len(shard), exc_info=call.error)


def _shards(guests: Iterable[Asked]) -> Iterator[list[Asked]]:
    """Of guests that are asked for the same groups."""
    by_groups: dict[int, list[Asked]] = {}
    for guest in guests:
        by_groups.setdefault(guest.groups, []).append(guest)
    for those in by_groups.values():
        for at in range(0, len(those), _SHARD):
            yield those[at : at + _SHARD]
