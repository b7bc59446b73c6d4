"""A hypervisor that counts effects, and an agent that dies wherever it is told to."""

from __future__ import annotations

import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from novacron_agent.commands.counts import CommandCounts
from novacron_agent.commands.executor import Executor
from novacron_agent.commands.journal import Journal
from novacron_agent.commands.journal_file import JournalFile
from novacron_agent.commands.settings import CommandsTable
from novacron_agent.finding import Finding
from novacron_agent.providers.lifecycle import (
    Done,
    EffectFailed,
    FoundVm,
    NotPossible,
    Progress,
    VmNotFound,
)
from novacron_contract.commands import VERBS, Effect, Order, Report, Verb
from novacron_contract.metrics import VmState

_BECOMES = {
    Verb.START: VmState.RUNNING,
    Verb.RESUME: VmState.RUNNING,
    Verb.STOP: VmState.STOPPED,
    Verb.SAVE: VmState.STOPPED,
    Verb.RENAME: VmState.PAUSED,  # so that a test sees that they did something
    Verb.RESIZE: VmState.PAUSED,
    Verb.SUSPEND: VmState.PAUSED,
    Verb.CREATE: VmState.RUNNING,
}
DEVICES = frozenset(
    {Verb.ATTACH_DISK, Verb.DETACH_DISK, Verb.GROW_DISK, Verb.ATTACH_NIC, Verb.DETACH_NIC}
)  # a command's own is known again
_ALSO_OFF = frozenset(
    {Verb.START, Verb.DELETE, Verb.SNAPSHOT, Verb.REVERT, Verb.DELETE_SNAPSHOT, Verb.SNAPSHOTS}
)
ASKING = frozenset({Verb.SNAPSHOTS})  # which have no effect


class Killed(BaseException):
    """As kill -9: nobody catches it."""


@dataclass(slots=True)
class Life:
    """Ends at the so manieth point from now on; every later point finds it ended."""

    points: float = float("inf")

    def point(self) -> None:
        self.points -= 1
        if self.points <= 0:
            raise Killed


@dataclass(slots=True)
class SetClock:
    """A clock that a test moves."""

    boot_id: str = "boot-1"
    seconds: float = 1000.0
    unix: float = 1_700_000_000.0

    def since_boot(self) -> float:
        return self.seconds

    def wall(self) -> float:
        return self.unix

    def pass_(self, seconds: float) -> None:
        self.seconds += seconds
        self.unix += seconds

    def boot(self, took: float = 60.0) -> None:
        self.boot_id = f"boot-{int(self.boot_id.partition('-')[2]) + 1}"
        self.seconds = 5.0
        self.unix += took


@dataclass(slots=True)
class Hypervisor:
    """Outlives every agent. `effects`: how often each command did something."""

    states: dict[str, VmState] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    made_by: dict[str, str] = field(default_factory=dict)
    snapped_by: set[str] = field(default_factory=set)
    without_snapshot: set[str] = field(default_factory=set)
    effects: Counter[str] = field(default_factory=Counter)
    order_of_effects: list[tuple[str, str]] = field(default_factory=list)  # VM, command
    life: Life = field(default_factory=Life)
    does: Callable[[Order, Progress], None] = lambda _order, _progress: None

    def verbs(self) -> frozenset[Verb]:
        return frozenset(Verb)

    def find(self, vm_id: str, patience_s: float) -> FoundVm:
        self.life.point()
        if vm_id not in self.states:
            raise VmNotFound("this host has no such VM")
        return FoundVm(self.names.get(vm_id, "vm"), self.states[vm_id])

    def perform(self, order: Order, progress: Progress, deadline: float) -> Done:
        if order.verb is Verb.CREATE and order.vm_id not in self.states:
            state = VmState.UNKNOWN
        else:
            state = self.find(order.vm_id, 0).state
        if order.verb is Verb.CREATE and state is not VmState.UNKNOWN:
            if self.made_by.get(order.vm_id) == order.id:
                return Done(changed=True)
            raise NotPossible("there is one already")
        if self._is_so(order):
            return Done(changed=order.id in self.snapped_by)
        convergent = VERBS[order.verb].effect is Effect.CONVERGENT
        wanted = _BECOMES.get(order.verb, state)
        if order.verb in DEVICES and self.effects[order.id]:
            return Done(changed=not convergent)
        removes = order.verb in (Verb.DELETE, Verb.DELETE_SNAPSHOT)
        if convergent and state is wanted and not removes and order.verb not in DEVICES:
            return Done(changed=False)
        if state is VmState.STOPPED and order.verb not in _ALSO_OFF:
            raise NotPossible(f"the VM is {state}")
        if time.monotonic() >= deadline:
            raise EffectFailed("its time was over")
        self.life.point()
        self.effects[order.id] += 1
        self.order_of_effects.append((order.vm_id, order.id))
        self._has_done(order, wanted)
        self.does(order, progress)
        self.life.point()
        if not convergent:
            progress.witness("it was seen")
        return Done(changed=True)

    def _has_done(self, order: Order, wanted: VmState) -> None:
        if order.verb is Verb.DELETE:
            del self.states[order.vm_id]
        elif order.verb is Verb.SNAPSHOT:
            self.snapped_by.add(order.id)
        elif order.verb is Verb.DELETE_SNAPSHOT:
            self.without_snapshot.add(order.vm_id)
        else:
            self.states[order.vm_id] = wanted
            self.made_by[order.vm_id] = order.id

    def _is_so(self, order: Order) -> bool:
        """A snapshot that is there, or one that is not there any more."""
        is_gone = order.verb is Verb.DELETE_SNAPSHOT and order.vm_id in self.without_snapshot
        return is_gone or order.id in self.snapped_by

    def check(self, patience_s: float) -> list[Finding]:
        return []

    def close(self) -> None:
        pass


class MortalFile(JournalFile):
    """Dies before a transaction, before its end, or after it."""

    def __init__(self, path: Path, life: Life) -> None:
        super().__init__(path)
        self._life = life

    @contextmanager
    def change(self) -> Iterator[sqlite3.Connection]:
        self._life.point()
        with super().change() as db:
            yield db
            self._life.point()
        self._life.point()

    def die(self) -> None:
        self._let_go()


class MortalAgent:
    """Journal and executor, in the caller's own thread."""

    def __init__(
        self,
        path: Path,
        hypervisor: Hypervisor,
        clock: SetClock,
        table: CommandsTable | None = None,
    ) -> None:
        self.hypervisor = hypervisor
        self.journal = Journal(path, clock)
        self.journal.file = self.file = MortalFile(path, hypervisor.life)
        self.counts = CommandCounts()
        self.executor = Executor(
            self.journal, clock, self.counts, lambda: None, begin=lambda work: work()
        )
        self.executor.adopt(table or CommandsTable(), hypervisor)

    def die(self) -> None:
        self.file.die()

    def told(self) -> list[Report]:
        return self.journal.reports(100_000, 2**30)


def final(reports: list[Report]) -> Mapping[str, Report]:
    """The end of each command; that there is one at most is checked."""
    found: dict[str, Report] = {}
    for report in reports:
        if report.state.is_final:
            assert found.setdefault(report.command_id, report) == report
    return found
