"""A command's life: whatever comes in whatever order, it ends, and does not leave its end."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from novacron_contract.commands import Report, State, Verb
from novacron_store.state.commands.machine import (
    Meaning,
    Patience,
    cancel,
    deliver,
    lapse,
    lose,
    make_ready,
    take,
)
from novacron_store.state.commands.records import Command

T0 = datetime(2026, 12, 1, 12, tzinfo=UTC)
ID = "00000000-0000-7000-8000-000000000001"
PATIENCE = Patience(redeliver_s=10, margin_s=60)
TTL_S, TIMEOUT_S = 100.0, 50.0
SECONDS = st.floats(0, 200)
_RANK = list(State)[:4]


def a_command() -> Command:
    new = Command(
        id=ID,
        operation_id="o",
        place=0,
        vm_id="v",
        vm_name="v",
        host_id="h",
        identity_id="a",
        verb=Verb.REBOOT,
        ttl_s=TTL_S,
        timeout_s=TIMEOUT_S,
        created=T0,
    )
    return make_ready(new, T0)


@dataclass
class Agent:
    """An honest one: it begins within the time that it was given, and once. Its reports may be lost
    on the way, doubled and late."""

    state: State | None = None  # None: it was never told
    number: int = 0
    may_begin_until: datetime = T0
    must_end_by: datetime = T0
    effects: int = 0
    said: list[Report] = field(default_factory=list)

    def hear(self, ttl_ms: int, now: datetime) -> None:
        if self.state is None:
            self.may_begin_until = now + timedelta(milliseconds=ttl_ms)
            self.say(State.ACCEPTED if ttl_ms else State.EXPIRED)

    def say(self, state: State) -> None:
        self.state = state
        self.number += 1
        self.said.append(Report(command_id=ID, number=self.number, state=state))


class Life(RuleBasedStateMachine):
    """Deliveries, reports and restarts in any order, some of them lost or doubled."""

    @initialize()
    def begin(self) -> None:
        self.now = T0
        self.command = a_command()
        self.agent = Agent()
        self.instance = 0
        self.cancelled = False
        self.end: State | None = None
        self.meanings: set[Meaning] = set()

    def become(self, new: Command) -> None:
        old = self.command
        if old.state.is_final:
            assert new.state is old.state
        elif not new.state.is_final:
            assert _RANK.index(new.state) >= _RANK.index(old.state)
        assert new.version in (old.version, old.version + 1)
        self.command = new

    @rule(seconds=SECONDS)
    def time_goes_by(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    @rule(is_lost=st.booleans())
    def the_agent_polls(self, is_lost: bool) -> None:
        of = self.command
        if of.turn is None or of.turn > self.now:
            return
        if of.state is State.QUEUED and of.deadline is not None and of.deadline <= self.now:
            self.become(lapse(of, self.now))
        elif of.state in (State.QUEUED, State.DELIVERED):
            if of.state is State.DELIVERED and of.instance != str(self.instance):
                self.become(lose(of, self.now))
                return
            order = of.order(self.now)
            self.become(deliver(of, str(self.instance), self.now, PATIENCE))
            if not is_lost:
                self.agent.hear(order.ttl_ms, self.now)

    @rule(ends=st.sampled_from([State.SUCCEEDED, State.FAILED, State.REJECTED, None]))
    def the_agent_acts(self, ends: State | None) -> None:
        agent = self.agent
        if agent.state is State.ACCEPTED:
            if self.now > agent.may_begin_until:
                agent.say(State.EXPIRED)
            elif self.cancelled:
                agent.say(State.CANCELLED)
            else:
                agent.say(State.RUNNING)
                agent.effects += 1
                agent.must_end_by = self.now + timedelta(seconds=TIMEOUT_S)
        elif agent.state is State.RUNNING and ends is not None:
            agent.say(ends if self.now <= agent.must_end_by else State.FAILED)

    @rule()
    def the_agent_restarts(self) -> None:
        if self.agent.state is State.RUNNING:  # an opaque one: it is not done again
            self.agent.say(State.OUTCOME_UNKNOWN)

    @rule()
    def the_agent_loses_its_journal(self) -> None:
        self.instance += 1
        self.agent.state = None
        self.agent.said.clear()
        self.agent.number = 0
        self.become(lose(self.command, self.now))

    @rule(data=st.data())
    def reports_arrive(self, data: st.DataObject) -> None:
        if not self.agent.said:
            return
        reports = data.draw(st.lists(st.sampled_from(self.agent.said), min_size=1, max_size=6))
        for report in reports:
            meaning, new = take(self.command, report, self.now, PATIENCE)
            self.meanings.add(meaning)
            self.become(new)
            again, same = take(self.command, report, self.now, PATIENCE)
            assert again is Meaning.KNOWN
            assert same is self.command

    @rule()
    def somebody_cancels(self) -> None:
        self.cancelled = True
        self.become(cancel(self.command, self.now))
        self.become(cancel(self.command, self.now))

    @rule()
    def the_server_looks(self) -> None:
        of = self.command
        if of.deadline is not None and of.deadline <= self.now:
            self.become(lapse(of, self.now))

    @invariant()
    def an_end_is_an_end(self) -> None:
        if getattr(self, "command", None) is None:
            return
        of = self.command
        assert of.state.is_final == (of.ended is not None)
        assert (of.turn is None) or not of.state.is_final
        assert self.end is None or of.state is self.end
        self.end = of.state if of.state.is_final else None
        assert self.agent.effects <= 1
        assert Meaning.CONTRADICTION not in self.meanings  # the agent is honest
        if of.state in (State.EXPIRED, State.CANCELLED) and self.instance == 0:
            assert self.agent.effects == 0

    def teardown(self) -> None:
        """Left alone it ends, and late reports change nothing but what is beside the record."""
        if getattr(self, "command", None) is None:
            return
        self.now += timedelta(days=8)
        if not self.command.state.is_final:
            self.become(lapse(self.command, self.now))
        assert self.command.state.is_final
        for report in self.agent.said:
            meaning, new = take(self.command, report, self.now, PATIENCE)
            assert meaning is not Meaning.CONTRADICTION
            self.become(new)


Life.TestCase.settings = settings(max_examples=300, stateful_step_count=40, deadline=None)
TestLife = Life.TestCase


def report(number: int, state: State) -> Report:
    return Report(command_id=ID, number=number, state=state)


def ended_as(state: State) -> Command:
    of = deliver(a_command(), "i", T0, PATIENCE)
    return take(of, report(3, state), T0, PATIENCE)[1]


def test_the_true_end_of_an_unknown_one_is_kept_beside_the_record() -> None:
    of = lapse(deliver(a_command(), "i", T0, PATIENCE), T0)
    meaning, late = take(of, report(4, State.SUCCEEDED), T0, PATIENCE)
    assert (meaning, late.state, late.late) == (Meaning.LATE, State.OUTCOME_UNKNOWN, "succeeded")
    meaning, same = take(late, report(5, State.FAILED), T0, PATIENCE)
    assert (meaning, same.state, same.late) == (Meaning.CONTRADICTION, late.state, "succeeded")


def test_another_end_than_the_records_is_an_alarm_once() -> None:
    of = ended_as(State.SUCCEEDED)
    meaning, alarmed = take(of, report(4, State.FAILED), T0, PATIENCE)
    assert (meaning, alarmed.state) == (Meaning.CONTRADICTION, State.SUCCEEDED)
    assert take(alarmed, report(5, State.FAILED), T0, PATIENCE)[0] is Meaning.KNOWN
    assert take(of, report(4, State.SUCCEEDED), T0, PATIENCE) == (Meaning.KNOWN, of)
    assert take(of, report(2, State.RUNNING), T0, PATIENCE) == (Meaning.KNOWN, of)


def test_ends_come_before_what_led_to_them() -> None:
    of = deliver(a_command(), "i", T0, PATIENCE)
    of = take(of, report(3, State.SUCCEEDED), T0, PATIENCE)[1]
    assert of.state is State.SUCCEEDED
    for number, state in ((1, State.ACCEPTED), (2, State.RUNNING)):
        assert take(of, report(number, state), T0, PATIENCE) == (Meaning.KNOWN, of)


def test_what_is_to_be_cancelled_has_no_time_left_when_it_is_told_again() -> None:
    of = cancel(deliver(a_command(), "i", T0, PATIENCE), T0)
    assert of.cancelling
    assert of.order(T0).ttl_ms == 0
    running = take(of, report(1, State.RUNNING), T0, PATIENCE)[1]
    assert running.turn is None
    assert cancel(running, T0) is running
