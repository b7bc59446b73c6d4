"""When which guest is asked for what, and the thread that asks."""

from __future__ import annotations

import logging
import threading
import time
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import libvirt

from novacron_agent.providers.kvm.caller import Ask
from novacron_agent.providers.kvm.monitor import Answer, Asked, Monitors, Round

log = logging.getLogger(__name__)
T = TypeVar("T")

_EARLY_S = 0.5  # ticks are not exact, and the next one is a whole tick later
_SHARE = 0.5  # of the time between two ticks: who waits longer misses the next one
_SHORTEST_S = 1.0  # between two ticks
_OFF = 10  # times rarer: of a guest that is off nothing changes but the size of its disks


@dataclass(frozen=True, slots=True)
class Candidate:
    """A guest that may be asked. `measured`: its CPUs are seen from outside, without asking."""

    uuid: str
    run: int
    running: bool
    measured: bool


@dataclass(slots=True)
class Due:
    """When each group is asked for next (monotonic seconds), of one run of a guest."""

    run: int
    at: dict[int, float] = field(default_factory=dict)


class Schedule:
    """`intervals`: seconds for each of libvirt's groups. A guest is asked at once when it is new,
    and then at a phase of its own, so that the work is spread."""

    def __init__(self, intervals: dict[int, float]) -> None:
        self._intervals = intervals
        self._due: dict[str, Due] = {}
        self.working: set[str] = set()  # guests in a job, which is looked at at every tick

    def take(self, guests: Iterable[Candidate], now: float) -> list[Asked]:
        """Who is to be asked now."""
        before, self._due = self._due, {}
        asked = []
        for guest in guests:
            due = before.get(guest.uuid)
            if due is None or due.run != guest.run:
                due = Due(guest.run)
            self._due[guest.uuid] = due
            groups = sum(group for group in _groups(guest) if self._is_due(guest, due, group, now))
            job = guest.running and (groups > 0 or guest.uuid in self.working)
            if groups or job:
                asked.append(Asked(guest.uuid, guest.run, groups, job))
        self.working &= self._due.keys()
        return asked

    def _is_due(self, guest: Candidate, due: Due, group: int, now: float) -> bool:
        at = due.at.get(group)
        every = self._intervals[group] * (1 if guest.running else _OFF)
        if at is None:
            due.at[group] = now + every * (1 + zlib.crc32(guest.uuid.encode()) / 2**32) / 2
            return True
        if now < at - _EARLY_S:
            return False
        due.at[group] = max(at, now - every) + every
        return True


def _groups(guest: Candidate) -> tuple[int, ...]:
    if not guest.running:
        return (libvirt.VIR_DOMAIN_STATS_BLOCK,)
    inside = (libvirt.VIR_DOMAIN_STATS_BLOCK, libvirt.VIR_DOMAIN_STATS_BALLOON)
    if guest.measured:
        return inside
    return (*inside, libvirt.VIR_DOMAIN_STATS_CPU_TOTAL, libvirt.VIR_DOMAIN_STATS_VCPU)


@dataclass(slots=True)
class Found(Generic[T]):
    """Since it was taken last. `seconds`: how long the last round took, once there was one."""

    answers: list[Answer] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    other: T | None = None
    seconds: float | None = None


class Poll(Generic[T]):
    """A round at a time, in a thread of its own. `other`: what is asked of the hypervisor itself,
    every `other_s` seconds."""

    def __init__(
        self, uri: str, intervals: dict[int, float], other: Ask[T], other_s: float
    ) -> None:
        self.schedule = Schedule(intervals)
        self._monitors = Monitors(uri)
        self._other, self._other_s, self._other_at = other, other_s, 0.0
        self._lock = threading.Lock()
        self._found: Found[T] = Found()
        self._hanging: frozenset[str] = frozenset()
        self._begun_at = float("-inf")
        self._every_s = float("inf")  # between the last two ticks
        self._idle = threading.Event()
        self._idle.set()

    @property
    def hanging(self) -> frozenset[str]:
        """UUIDs of the guests that do not answer."""
        return self._hanging

    def begin(self, guests: Iterable[Candidate]) -> None:
        """Ask those that are due; not while the last round still goes on."""
        before, self._begun_at = self._begun_at, time.monotonic()
        self._every_s = max(_SHORTEST_S, self._begun_at - before)
        if not self._idle.is_set():
            return
        self._hanging = frozenset(self._monitors.hanging_guests)  # some may have come back
        asked = self.schedule.take(guests, time.monotonic())
        self._idle.clear()
        try:  # a daemon: a round may wait for libvirt, which must not keep the process from ending
            threading.Thread(target=self._round, args=(asked,), name="poll", daemon=True).start()
        except RuntimeError as err:  # no more threads
            self._idle.set()
            with self._lock:
                self._found.failures.append(f"the guests cannot be asked: {err}")

    def take(self, wait_s: float) -> Found[T]:
        """What was found, after waiting at most so long for the round to end, and less where
        ticks follow each other sooner."""
        self._idle.wait(min(wait_s, _SHARE * self._every_s))
        with self._lock:
            found, self._found = self._found, Found()
        return found

    def close(self, wait_s: float) -> None:
        if self._idle.wait(wait_s):
            self._monitors.close()

    def _round(self, asked: list[Asked]) -> None:
        started = time.monotonic()
        try:
            self._keep(self._monitors.ask(asked))
            if started >= self._other_at:
                self._other_at = started + self._other_s - _EARLY_S
                other = self._monitors.call(self._other)
                with self._lock:
                    self._found.other = other
        except Exception:
            log.exception("asking the guests failed")
        finally:
            self._hanging = frozenset(self._monitors.hanging_guests)
            with self._lock:
                self._found.seconds = time.monotonic() - started
            self._idle.set()

    def _keep(self, found: Round) -> None:
        for answer in found.answers:
            if answer.job:
                self.schedule.working.add(answer.uuid)
            else:
                self.schedule.working.discard(answer.uuid)
        with self._lock:
            self._found.answers += found.answers
            self._found.failures += sorted(set(found.failures))
