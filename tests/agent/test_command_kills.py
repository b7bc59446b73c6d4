"""An agent that is killed anywhere does nothing twice, and says what it knows."""

from __future__ import annotations

import itertools
import json
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from novacron_contract.commands import VERBS, Effect, Order, Report, State, Verb
from novacron_contract.metrics import VmState
from pretend_hypervisor import ASKING, Hypervisor, Killed, Life, MortalAgent, SetClock, final
from verb_arguments import OF_VERB

VM = "11111111-1111-4111-8111-111111111111"
VMS = [str(uuid.UUID(int=number, version=4)) for number in range(1, 4)]


def order(verb: Verb, vm_id: str = VM, ttl_s: float = 60, command_id: str = "") -> Order:
    return Order(
        id=command_id or str(uuid.uuid4()),
        verb=verb,
        vm_id=vm_id,
        arguments=VERBS[verb].parse(OF_VERB.get(verb, {})),
        ttl_ms=int(ttl_s * 1000),
        timeout_s=60.0,
    )


def needed_by(verb: Verb) -> VmState:
    """A state in which it does something."""
    return {Verb.START: VmState.STOPPED, Verb.RESUME: VmState.PAUSED}.get(verb, VmState.RUNNING)


def lived(path: Path, hypervisor: Hypervisor, clock: SetClock, points: float, one: Order) -> bool:
    """An agent's life: it takes up what there is, and the order, which the collector delivers
    again and again. Whether it lived to the end."""
    hypervisor.life.points = points
    agent = MortalAgent(path, hypervisor, clock)
    try:
        agent.executor.restore()
        agent.executor.take([one], clock.since_boot())
    except Killed:
        return False
    else:
        return True
    finally:
        hypervisor.life.points = float("inf")
        agent.die()


def test_what_was_done_before_a_kill_is_not_said_to_have_been_so_before(tmp_path: Path) -> None:
    claimed = set()
    for points in itertools.count(1):
        clock, hypervisor = SetClock(), Hypervisor(states={VM: VmState.STOPPED})
        path, one = tmp_path / f"{points}.sqlite", order(Verb.START)
        survived = lived(path, hypervisor, clock, points, one)
        lived(path, hypervisor, clock, float("inf"), one)
        agent = MortalAgent(path, hypervisor, clock)
        claimed.add(final(agent.told())[one.id].detail["changed"])
        agent.die()
        if survived:
            break
    assert claimed == {True, None}


@pytest.mark.parametrize("verb", sorted(set(Verb) - ASKING))
def test_killed_at_every_point_and_again_there_is_one_effect(tmp_path: Path, verb: Verb) -> None:
    survived = False
    for first in itertools.count(1):
        for second in (1, 2, 4, 6, float("inf")):
            states = {} if verb is Verb.CREATE else {VM: needed_by(verb)}
            clock, hypervisor = SetClock(), Hypervisor(states=states)
            path = tmp_path / f"{first}-{second}.sqlite"
            one = order(verb)
            survived = lived(path, hypervisor, clock, first, one)
            lived(path, hypervisor, clock, second, one)
            assert lived(path, hypervisor, clock, float("inf"), one)

            agent = MortalAgent(path, hypervisor, clock)
            end = final(agent.told())[one.id]
            agent.die()
            effects = hypervisor.effects[one.id]
            if VERBS[verb].effect is Effect.OPAQUE and end.state is not State.SUCCEEDED:
                assert (end.state, effects <= 1) == (State.OUTCOME_UNKNOWN, True)
            else:
                assert (end.state, effects) == (State.SUCCEEDED, 1)
        if survived:
            break
    assert first > 8, "there are as many points as that, at least"


class Commands(RuleBasedStateMachine):
    """A collector that delivers, cancels and loses answers; machines that are started anew; an
    agent that dies at any point."""

    @initialize()
    def begin(self) -> None:
        self.folder = tempfile.TemporaryDirectory(prefix="nova-commands-")
        self.path = Path(self.folder.name) / "journal.sqlite"
        self.clock = SetClock()
        self.hypervisor = Hypervisor(states=dict.fromkeys(VMS, VmState.STOPPED))
        self.ordered: dict[str, Order] = {}
        self.reports: dict[tuple[str, int], Report] = {}
        self.agent = MortalAgent(self.path, self.hypervisor, self.clock)
        self.agent.executor.restore()

    @contextmanager
    def mortal(self) -> Iterator[None]:
        try:
            yield
        except Killed:
            self.restart()

    def restart(self) -> None:
        """Until one lives long enough to take up what there is."""
        self.agent.die()
        while True:
            self.agent = MortalAgent(self.path, self.hypervisor, self.clock)
            self.hypervisor.life.points = float("inf")
            try:
                self.agent.executor.restore()
                return
            except Killed:
                self.agent.die()

    @rule(points=st.integers(1, 40))
    def dies_soon(self, points: int) -> None:
        self.hypervisor.life.points = points

    @rule(
        verbs=st.lists(st.tuples(st.sampled_from(list(Verb)), st.sampled_from(VMS)), max_size=4),
        ttl_s=st.sampled_from([0.5, 30, 600]),
    )
    def delivers(self, verbs: list[tuple[Verb, str]], ttl_s: float) -> None:
        orders = [order(verb, vm, ttl_s) for verb, vm in verbs]
        self.ordered |= {one.id: one for one in orders}
        with self.mortal():
            self.agent.executor.take(orders, self.clock.since_boot())

    @rule(data=st.data())
    def delivers_again(self, data: st.DataObject) -> None:
        if self.ordered:
            again = data.draw(st.lists(st.sampled_from(sorted(self.ordered)), max_size=3))
            with self.mortal():
                orders = [self.ordered[one] for one in again]
                self.agent.executor.take(orders, self.clock.since_boot())

    @rule(data=st.data(), unknown=st.booleans())
    def cancels(self, data: st.DataObject, unknown: bool) -> None:
        if unknown:
            one = order(Verb.START, VMS[0])
            self.ordered[one.id] = one
            chosen = one.id
        elif self.ordered:
            chosen = data.draw(st.sampled_from(sorted(self.ordered)))
        else:
            return
        with self.mortal():
            self.agent.executor.cancel([chosen])

    @rule(seconds=st.sampled_from([1.0, 40.0]), boots=st.booleans())
    def time_passes(self, seconds: float, boots: bool) -> None:
        self.clock.pass_(seconds)
        if boots:
            self.clock.boot(seconds)
            self.restart()
        with self.mortal():
            self.agent.executor.expire()

    @rule(is_lost=st.booleans())
    def reports_are_told(self, is_lost: bool) -> None:
        with self.mortal():
            self.hear(self.agent.told())
            if not is_lost:
                self.agent.journal.taken([(r.command_id, r.number) for r in self.agent.told()])

    def hear(self, reports: list[Report]) -> None:
        """A number stands for one report for ever."""
        for report in reports:
            key = (report.command_id, report.number)
            assert self.reports.setdefault(key, report) == report

    def teardown(self) -> None:
        if not hasattr(self, "agent"):
            return
        self.restart()
        self.agent.executor.take(list(self.ordered.values()), self.clock.since_boot())
        self.hear(self.agent.told())
        ends = final(list(self.reports.values()))
        assert set(ends) == set(self.ordered), "every command has an end"
        for command_id, one in self.ordered.items():
            state, effects = ends[command_id].state, self.hypervisor.effects[command_id]
            assert effects <= 1
            if VERBS[one.verb].effect is Effect.OPAQUE:
                assert effects == 1 or state is not State.SUCCEEDED
            else:
                assert state is not State.OUTCOME_UNKNOWN
            if state in (State.CANCELLED, State.EXPIRED, State.REJECTED):
                assert effects == 0
        self.agent.die()
        self.folder.cleanup()


Commands.TestCase.settings = settings(
    max_examples=60,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
test_whatever_happens_there_is_one_effect_at_most = Commands.TestCase


CHILD = Path(__file__).parents[1] / "commanded_child.py"


def test_kill_9_at_random_moments(tmp_path: Path) -> None:
    """A process of its own, a hypervisor in a file, and a collector that delivers everything anew
    to each that lives."""
    orders = _orders_in_a_file(tmp_path, 45)
    chance = random.Random(7)
    kills = 0
    deadline = time.monotonic() + 150
    while (left := _left(tmp_path, orders)) and time.monotonic() < deadline:
        with subprocess.Popen(
            [sys.executable, str(CHILD), str(tmp_path)], stdout=subprocess.PIPE
        ) as child:
            assert child.stdout is not None
            for _ in range(chance.randint(1, 6)):  # each life gets on, however slow the machine
                child.stdout.readline()
            time.sleep(chance.random() * 0.03)
            if child.poll() is None:
                child.send_signal(signal.SIGKILL)
                kills += 1
    assert not left
    assert kills >= 3

    effects, ends = _effects(tmp_path), _ends(tmp_path)
    for one in orders:
        done, state = effects.get(one.id, 0), ends[one.id]
        if VERBS[one.verb].effect is Effect.CONVERGENT:
            assert (done, state) == (1, State.SUCCEEDED)
        else:
            assert done <= 1
            assert state in (State.SUCCEEDED, State.OUTCOME_UNKNOWN)
            assert done == 1 or state is State.OUTCOME_UNKNOWN


def _orders_in_a_file(folder: Path, number: int) -> list[Order]:
    verbs = [Verb.START, Verb.STOP, Verb.RESET]
    orders = [
        order(verbs[n % 3], str(uuid.UUID(int=n + 1, version=4)), ttl_s=600) for n in range(number)
    ]
    db = sqlite3.connect(folder / "hypervisor.sqlite")
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("CREATE TABLE vms (id TEXT PRIMARY KEY, state TEXT)")
    db.execute("CREATE TABLE effects (command TEXT)")
    for one in orders:
        db.execute("INSERT INTO vms VALUES (?, ?)", (one.vm_id, needed_by(one.verb)))
    db.commit()
    db.close()
    (folder / "orders.json").write_text(json.dumps([one.as_json() for one in orders]))
    return orders


def _ends(folder: Path) -> dict[str, State]:
    """Of the journal, while nobody has it."""
    path = folder / "journal.sqlite"
    if not path.exists():
        return {}
    db = sqlite3.connect(path)
    try:
        found = db.execute("SELECT id, state FROM commands").fetchall()
    except sqlite3.OperationalError:  # killed before it was made
        return {}
    finally:
        db.close()
    return {command_id: State(state) for command_id, state in found}


def _left(folder: Path, orders: list[Order]) -> list[Order]:
    ends = _ends(folder)
    return [one for one in orders if one.id not in ends or not ends[one.id].is_final]


def _effects(folder: Path) -> dict[str, int]:
    db = sqlite3.connect(folder / "hypervisor.sqlite")
    found = dict(db.execute("SELECT command, count(*) FROM effects GROUP BY command").fetchall())
    db.close()
    return found


def test_a_life_ends_where_it_is_told_to() -> None:
    life = Life(2)
    life.point()
    with pytest.raises(Killed):
        life.point()
    with pytest.raises(Killed):
        life.point()
