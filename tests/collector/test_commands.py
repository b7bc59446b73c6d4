"""Commands from who asks for them to agents, and back: over the wire contract, in one process."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from sqlalchemy import Engine

from command_world import AgentsPort, World
from commanded_agent import FakeAgent, Trouble
from novacron_collector.commands.engine import Commands
from novacron_collector.commands.request import parse
from novacron_collector.commands.settings import CommandSettings
from novacron_contract.access import Grant, Role, Scope, ScopeKind
from novacron_contract.commands import VERBS, Effect, Order, State
from novacron_contract.errors import BadMessage, Conflict, NotFound, Refused, TooMany, Unavailable
from novacron_store.state import Caller
from novacron_store.state.commands import Asking, Command, Operation, Stage
from novacron_store.state.identities import Standing

ONE, TWO = (f"{number:08}-0000-4000-8000-{number:012}" for number in (1, 2))  # journals
QUICK = CommandSettings(redeliver=0.2)


@pytest.fixture
def world(engine: Engine) -> World:
    return World(engine, QUICK)


@asynccontextmanager
async def serving(world: World, commands: Commands | None = None) -> AsyncIterator[AgentsPort]:
    commands = commands or world.commands
    async with commands.running():
        yield AgentsPort(world, commands)


@asynccontextmanager
async def agents(
    world: World, port: AgentsPort, trouble: Trouble | None = None, **options: Any
) -> AsyncIterator[list[FakeAgent]]:
    """One for each host, that live."""
    made = [
        FakeAgent(port.client(agent), seed, trouble or Trouble(), **options)
        for seed, agent in enumerate(world.agent_of.values())
    ]
    async with living(made):
        yield made


@asynccontextmanager
async def living(made: Sequence[FakeAgent]) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(one.live()) for one in made]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        for task in tasks:
            with suppress(asyncio.CancelledError):
                await task
        for one in made:
            await one.client.aclose()


async def ask(world: World, by: Caller, body: dict[str, Any], key: str | None = None) -> Operation:
    done = await asyncio.to_thread(world.commands.submit, by, parse(body), key)
    return done.operation


async def finished(
    world: World,
    operation: Operation,
    within_s: float = 30,
) -> Operation:
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        of = await asyncio.to_thread(world.commands.operations.one, operation.id)
        if of.finished is not None:
            return of
        await asyncio.sleep(0.05)
    counts = world.commands.listing.counts(operation.id)
    raise AssertionError(f"not finished in {within_s} s: {counts}, {of}")


def of_operation(world: World, operation: Operation) -> list[Command]:
    return world.commands.listing.commands(20_000, 0, operation_id=operation.id)[0]


def start(world: World, vms: Sequence[str] | None = None, **more: Any) -> dict[str, Any]:
    return {"verb": "start", "targets": {"vms": list(vms or world.vms)}, **more}


def test_what_is_asked_for_reaches_the_agent_at_once_and_its_end_comes_back(world: World) -> None:
    world.add_host(3)

    async def scenario() -> None:
        async with serving(world) as port, agents(world, port, wait_s=20) as (agent,):
            await asyncio.sleep(0.3)
            before = time.monotonic()
            operation = await ask(world, world.somebody(), start(world))
            of = await finished(world, operation)
            assert time.monotonic() - before < 1
            assert (of.state, of.succeeded, of.ended) == (Stage.SUCCEEDED, 3, 3)
            assert sorted(agent.effects.values()) == [1, 1, 1]

    asyncio.run(scenario())
    assert len(world.audit("command.succeeded")) == 3
    assert world.audit("operation.create")[0].actor_name.startswith("u")
    assert world.access.audit.verify().problem == ""


@pytest.mark.parametrize("seed", [1])
def test_500_commands_through_lost_answers_kills_and_doubled_reports(
    world: World, seed: int
) -> None:
    """All end, none has two effects; what cannot be told is told of opaque ones alone."""
    trouble = Trouble(lost_answers=0.1, killed=0.02, doubled=0.2, fails=0.05)
    for _ in range(5):
        world.add_host(20)
    verbs = ["start", "reboot", "suspend", "resume", "reboot"]

    async def scenario() -> list[FakeAgent]:
        by = world.somebody()
        async with serving(world) as port, agents(world, port, trouble) as made:
            operations = [
                await ask(world, by, {"verb": verb, "targets": {"vms": world.vms}})
                for verb in verbs
            ]
            for operation in operations:
                await finished(world, operation, 120)
        return made

    made = asyncio.run(scenario())
    every, total = world.commands.listing.commands(5000, 0)
    effects: Counter[str] = sum((agent.effects for agent in made), Counter())
    assert total == 500
    assert all(of.state.is_final for of in every)
    assert max(effects.values()) == 1
    assert sum(agent.kills for agent in made) > 10
    for of in every:
        match of.state:
            case State.SUCCEEDED:
                assert effects[of.id] == 1
            case State.FAILED:
                assert effects[of.id] == 0
            case _:
                assert of.state is State.OUTCOME_UNKNOWN
                assert VERBS[of.verb].effect is Effect.OPAQUE
    assert world.audit("command.contradiction") == []


def test_commands_of_one_vm_come_one_after_another_and_a_host_has_so_many_at_a_time(
    engine: Engine,
) -> None:
    world = World(engine, CommandSettings(per_host=3))
    world.add_host(8)
    order: list[tuple[str, str]] = []

    def obey(one: Order) -> str:
        order.append((one.vm_id, one.verb.value))
        return ""

    async def scenario() -> None:
        by = world.somebody()
        async with serving(world) as port:
            async with agents(world, port, most=50, duration_s=0.01, obey=obey) as (agent,):
                operations = [
                    await ask(world, by, {"verb": verb, "targets": {"vms": world.vms}})
                    for verb in ("start", "suspend", "resume")
                ]
                for operation in operations:
                    assert (await finished(world, operation)).state is Stage.SUCCEEDED
            assert agent.most_at_once <= 3

    asyncio.run(scenario())
    for vm in world.vms:
        assert [verb for of, verb in order if of == vm] == ["start", "suspend", "resume"]


def test_a_collector_that_starts_in_the_middle_finishes_what_another_began(world: World) -> None:
    world.add_host(30)

    async def scenario() -> None:
        by = world.somebody()
        async with serving(world) as port, agents(world, port, most=2, duration_s=0.02):
            operation = await ask(world, by, start(world))
            while (await asyncio.to_thread(world.commands.operations.one, operation.id)).ended < 5:
                await asyncio.sleep(0.01)
        again = world.collector()
        world.commands = again
        async with serving(world, again) as port, agents(world, port) as made:
            made[0].journal.entries.clear()  # its journal is an older test's: it has another one
            of = await finished(world, operation)
            assert of.ended == 30

    asyncio.run(scenario())


def test_another_collector_finds_within_a_second_what_this_one_queued(world: World) -> None:
    world.add_host(1)
    other = world.collector()

    async def scenario() -> None:
        async with serving(world, other) as port, agents(world, port, wait_s=20):
            await asyncio.sleep(0.2)
            before = time.monotonic()
            operation = await ask(world, world.somebody(), start(world))
            assert (await finished(world, operation)).state is Stage.SUCCEEDED
            assert time.monotonic() - before < 2

    asyncio.run(scenario())


def test_what_was_not_accepted_is_delivered_again_to_the_same_journal_and_no_other(
    world: World,
) -> None:
    world.add_host(2)
    agent = next(iter(world.agent_of.values()))
    old, new = ONE, TWO

    async def scenario() -> None:
        async with serving(world):
            polls, by = world.commands.polls, world.somebody()
            operation = await ask(world, by, start(world))
            first = await polls.wait(agent, Asking(old, 5), 5)
            again = await polls.wait(agent, Asking(old, 5), 5)
            assert {one.id for one in first.orders} == {one.id for one in again.orders}
            assert again.orders[0].ttl_ms < first.orders[0].ttl_ms
            later = await ask(world, by, {"verb": "suspend", "targets": {"vms": world.vms[:1]}})
            other = await polls.wait(agent, Asking(new, 5), 5)
            assert [one.verb.value for one in other.orders] == ["suspend"]
            of = await finished(world, operation)
            assert (of.state, of.failures) == (Stage.FAILED, 2)
            assert (await asyncio.to_thread(world.commands.operations.one, later.id)).ended == 0

    asyncio.run(scenario())
    for of in world.commands.listing.commands(10, 0, verb="start")[0]:
        assert of.state is State.OUTCOME_UNKNOWN
        assert "lost its journal" in of.error


def test_what_nobody_fetches_expires_and_what_was_told_is_unknown_only_after_patience(
    engine: Engine,
) -> None:
    world = World(engine, CommandSettings(margin=60))
    host = world.add_host(2)
    agent, instance = world.agent_of[host], ONE

    async def scenario() -> None:
        by = world.somebody()
        await ask(world, by, start(world, ttl=30, timeout=10))
        async with serving(world):
            told = await world.commands.polls.wait(agent, Asking(instance, 1), 5)
        first = told.orders[0].id
        lapse = world.commands._lapsing.lapse
        world.clock.pass_by(31)
        lapse(world.clock.now(), told_too=True)
        states = {of.id: of.state for of in world.commands.listing.commands(10, 0)[0]}
        assert states.pop(first) is State.DELIVERED
        assert set(states.values()) == {State.EXPIRED}
        other = world.collector()
        async with serving(world, other):  # it asks: an agent that never heard of it says expired
            again = await other.polls.wait(agent, Asking(instance, 1), 5)
        assert [(one.id, one.ttl_ms) for one in again.orders] == [(first, 0)]
        world.clock.pass_by(75)
        lapse(world.clock.now(), told_too=False)
        assert world.commands.listing.command(first)[0].state is State.DELIVERED
        lapse(world.clock.now(), told_too=True)
        of, events = world.commands.listing.command(first)
        assert of.state is State.OUTCOME_UNKNOWN
        assert [event.state for event in events] == ["queued", "delivered", "outcome_unknown"]

    asyncio.run(scenario())


def test_polls_end_when_the_agent_is_revoked_and_when_the_collector_stops(world: World) -> None:
    world.add_host(1)
    world.add_host(1)
    revoked, other = world.agent_of.values()

    async def scenario() -> None:
        async with serving(world) as port:
            clients = [port.client(revoked), port.client(other)]
            query: dict[str, str | int] = {
                "wait": 30,
                "instance": ONE,
            }
            polls = [
                asyncio.create_task(one.get("/v1/agents/self/commands", params=query))
                for one in clients
            ]
            await asyncio.sleep(0.5)
            now = world.clock.now()
            await asyncio.to_thread(world.identities.end, revoked, Standing.REVOKED, "sold", now)
            await port.registry.refresh()
            answer = await asyncio.wait_for(polls[0], 3)
            assert answer.status_code == 403
            world.commands.close()
            answer = await asyncio.wait_for(polls[1], 3)
            assert (answer.status_code, "retry-after" in answer.headers) == (503, True)
            for one in clients:
                await one.aclose()

    asyncio.run(scenario())


def test_thousands_that_are_cancelled_at_once_are_one_row_of_the_audit(world: World) -> None:
    world.add_host(600)
    by = world.somebody()
    operation = world.commands.submit(by, parse(start(world)), None).operation

    assert world.commands.cancel(by, operation.id).ended == 600

    [row] = world.audit("command.cancelled")
    assert row.target == f"operation:{operation.id}"
    assert '"count":600' in row.detail


def test_a_cancelled_operation_begins_nothing_more(world: World) -> None:
    world.add_host(10)

    async def scenario() -> None:
        by = world.somebody()
        async with serving(world) as port:
            async with agents(world, port, most=2, duration_s=0.2) as (agent,):
                operation = await ask(world, by, start(world))
                while not agent.at_once:
                    await asyncio.sleep(0.01)
                await asyncio.to_thread(world.commands.cancel, by, operation.id)
                of = await finished(world, operation)
            assert of.state is Stage.CANCELLED
            counts = world.commands.listing.counts(of.id)
            assert counts["cancelled"] >= 6
            assert len(world.audit("command.cancelled")) == counts["cancelled"]
            assert counts.get("succeeded", 0) == sum(agent.effects.values()) <= 4

    asyncio.run(scenario())


def test_steps_are_done_in_order_and_undone_in_reverse_where_one_fails(world: World) -> None:
    world.add_host(2)
    good, bad = world.vms
    done: list[tuple[str, str]] = []

    def obey(one: Order) -> str:
        done.append((one.vm_id, one.verb.value))
        return "no" if one.vm_id == bad and one.verb.value == "reboot" else ""

    steps = [
        {"verb": "suspend", "undo": {"verb": "resume"}},
        {"verb": "start", "undo": {"verb": "stop", "arguments": {"grace_s": 30}}},
        {"verb": "reboot"},
        {"verb": "resume"},
    ]

    async def scenario() -> None:
        async with serving(world) as port, agents(world, port, obey=obey):
            body = {"steps": steps, "targets": {"vms": world.vms}}
            of = await finished(world, await ask(world, world.somebody(), body))
            assert (of.state, of.failures, of.total, of.ended) == (Stage.FAILED, 1, 10, 10)

    asyncio.run(scenario())
    assert [verb for vm, verb in done if vm == good] == ["suspend", "start", "reboot", "resume"]
    assert [verb for vm, verb in done if vm == bad] == [
        *("suspend", "start", "reboot"),
        *("stop", "resume"),
    ]


def test_a_rolling_restart_has_one_vm_under_way_and_stops_at_the_first_failure(
    world: World,
) -> None:
    world.add_host(3)
    world.add_host(3)
    under_way: Counter[str] = Counter()
    most = 0
    seen: list[str] = []

    def obey(one: Order) -> str:
        nonlocal most
        if one.verb.value == "suspend":
            seen.append(one.vm_id)
            under_way[one.vm_id] += 1
        most = max(most, len(+under_way))
        if one.verb.value == "resume":
            del under_way[one.vm_id]
            return "it does not come back" if len(seen) == 4 else ""
        return ""

    async def scenario() -> None:
        async with serving(world) as port, agents(world, port, obey=obey):
            body = {
                "steps": [{"verb": "suspend"}, {"verb": "resume"}],
                "targets": {"vms": world.vms},
                "max_parallel": 1,
                "stop_after_failures": 1,
            }
            of = await finished(world, await ask(world, world.somebody(), body))
            assert (of.state, of.problem) == (Stage.FAILED, "stopped after 1 failures")
            counts = world.commands.listing.counts(of.id)
            assert counts == {"succeeded": 7, "failed": 1, "cancelled": 4}

    asyncio.run(scenario())
    assert most == 1


def test_the_brake_holds_everything_back_until_it_is_released(world: World) -> None:
    world.add_host(3)

    async def scenario() -> None:
        admin = world.somebody(Role.ADMIN)
        world.commands.set_brake(admin, True, "a storm")
        async with serving(world) as port, agents(world, port) as (agent,):
            operation = await ask(world, admin, start(world))
            await asyncio.sleep(1.5)
            assert agent.effects == {}
            await asyncio.to_thread(world.commands.set_brake, admin, False, "over")
            await finished(world, operation, 3)

    asyncio.run(scenario())
    assert [row.reason for row in world.audit("commands")] == ["over", "a storm"]


def test_no_more_than_so_many_a_minute(engine: Engine) -> None:
    world = World(engine, CommandSettings(max_per_minute=4))
    world.add_host(10)

    async def scenario() -> None:
        async with serving(world) as port, agents(world, port) as (agent,):
            operation = await ask(world, world.somebody(), start(world))
            for begun in (4, 8):
                while sum(agent.effects.values()) < begun:
                    await asyncio.sleep(0.05)
                await asyncio.sleep(1)
                assert sum(agent.effects.values()) == begun
                world.clock.pass_by(61)
            await finished(world, operation)

    asyncio.run(scenario())


@pytest.mark.parametrize("undo", [False, True])
def test_a_timeout_is_no_way_to_take_a_guests_power_early(undo: bool) -> None:
    stop = {"verb": "stop", "arguments": {"grace_s": 120}}
    steps = [{"verb": "start", "undo": stop} if undo else stop]
    asked = {"steps": steps, "targets": {"vms": ["web-1"]}}

    with pytest.raises(BadMessage, match=r"a guest has 120 s to shut down.*at least 180 s"):
        parse({**asked, "timeout": 179})

    assert parse({**asked, "timeout": 180}).timeout_s == 180
    assert not parse(asked).is_destructive
    assert parse({**asked, "steps": [{"verb": "stop", "arguments": {"grace_s": 0}}]}).is_destructive


def test_the_same_key_is_the_same_operation_and_never_another(world: World) -> None:
    world.add_host(2)
    by, other = world.somebody(), world.somebody()
    first = world.commands.submit(by, parse(start(world)), "k1")
    again = world.commands.submit(by, parse(start(world)), "k1")
    assert (first.is_new, again.is_new) == (True, False)
    assert first.operation.id == again.operation.id
    with pytest.raises(Conflict, match="'k1' was used for something else"):
        world.commands.submit(by, parse(start(world, ttl=5)), "k1")
    assert world.commands.submit(other, parse(start(world, ttl=5)), "k1").is_new


def test_one_vm_beyond_ones_scope_refuses_the_whole_and_is_on_record(world: World) -> None:
    mine, theirs = world.add_host(2), world.add_host(1)
    by = world.somebody(Role.OPERATOR, Grant(Role.OPERATOR, Scope(ScopeKind.HOST, value=mine)))
    with pytest.raises(Refused, match=world.vms[2]):
        world.commands.submit(by, parse(start(world)), None)
    assert world.commands.listing.operations(10, 0)[1] == 0
    assert world.audit("access.denied")[0].target == f"vm:{world.vms[2]}"
    world.commands.submit(by, parse(start(world, world.vms[:2])), None)
    assert theirs


def test_a_vm_without_an_agent_and_a_selection_of_none_are_refused(world: World) -> None:
    world.add_host(1, enrolled=False)
    by = world.somebody()
    with pytest.raises(Conflict, match="vm-0-0: no agent of its host kvm-0 takes commands"):
        world.commands.submit(by, parse(start(world)), None)
    nobody = {"verb": "start", "targets": {"select": {"name": "db-*"}}}
    with pytest.raises(NotFound, match="no VM is as selected"):
        world.commands.submit(by, parse(nobody), None)


def test_what_is_destructive_is_confirmed_by_name_or_number(world: World) -> None:
    world.add_host(3)
    by = world.somebody()

    def reset(vms: Sequence[str], confirm: Any) -> None:
        body = {"verb": "reset", "targets": {"vms": list(vms)}, "confirm": confirm}
        world.commands.submit(by, parse(body), None)

    for vms, wrong, right in ((world.vms[:1], "vm-0-1", "vm-0-0"), (world.vms, 2, 3)):
        for no in (None, wrong):
            with pytest.raises(Conflict, match=f'"confirm": "{right}"'):
                reset(vms, no)
        reset(vms, right)


def test_a_report_that_contradicts_the_record_is_an_alarm_once_and_a_late_one_is_kept(
    world: World,
) -> None:
    host = world.add_host(2)
    agent = world.agent_of[host]

    async def scenario() -> None:
        by = world.somebody()
        async with serving(world) as port, agents(world, port) as (fake,):
            operation = await ask(world, by, start(world, world.vms[:1]))
            await finished(world, operation)
            (of,) = of_operation(world, operation)
            url = "/v1/agents/self/events"
            lie = {
                "command_id": of.id,
                "number": 9,
                "state": "failed",
                "share": None,
                "text": "",
                "error": "",
                "detail": {},
            }
            body = {"instance": fake.journal.instance, "reports": [lie]}
            for _ in range(2):
                answer = await fake.client.post(url, json=body)
                assert answer.json()["taken"] == [{"command_id": of.id, "number": 9}]
            stranger = {**body, "reports": [{**lie, "command_id": world.vms[0]}]}
            assert (await fake.client.post(url, json=stranger)).json()["unknown"] == [world.vms[0]]
        assert world.commands.listing.command(of.id)[0].state is State.SUCCEEDED

    asyncio.run(scenario())
    assert len(world.audit("command.contradiction")) == 1
    assert agent


def test_open_operations_are_limited(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.add_host(1)
    monkeypatch.setattr("novacron_store.state.commands.operations.MAX_OPEN", 2)
    by = world.somebody()
    for _ in range(2):
        world.commands.submit(by, parse(start(world)), None)
    with pytest.raises(TooMany, match="2 operations are under way"):
        world.commands.submit(by, parse(start(world)), None)


def test_who_follows_an_operation_is_told_within_a_second(world: World) -> None:
    world.add_host(1)

    async def scenario() -> None:
        world.followed = True
        progress = world.commands.progress
        async with serving(world) as port:
            operation = await ask(world, world.somebody(), start(world))
            before = time.monotonic()
            await progress.until(operation.id, 0, 10)  # it is beyond that already
            assert time.monotonic() - before < 0.5
            waiting = asyncio.create_task(progress.until(operation.id, operation.version, 10))
            await asyncio.sleep(0.5)
            assert not waiting.done()
            async with agents(world, port):
                await asyncio.wait_for(waiting, 1)
                await finished(world, operation)
                await asyncio.sleep(0.5)

    asyncio.run(scenario())
    assert world.published[-1]["state"] == "succeeded"
    assert [of["version"] for of in world.published] == sorted(
        of["version"] for of in world.published
    )


def test_a_collector_that_stops_sends_new_polls_away(world: World) -> None:
    world.commands.close()
    with pytest.raises(Unavailable, match="come back"):
        asyncio.run(world.commands.polls.wait("a", Asking("i", 1), 1))


def test_a_host_is_given_no_more_than_it_takes_in_several_turns_of_one_round(world: World) -> None:
    agent = world.agent_of[world.add_host(6)]
    for vm in world.vms:
        world.commands.submit(world.somebody(), parse(start(world, [vm], max_parallel=1)), None)
    dispatch = world.commands.polls.dispatch
    told = dispatch.round({agent: Asking(ONE, 2)}, world.clock.now()).told[agent]
    assert len(told.orders) == 2


def test_what_failures_have_stopped_can_be_cancelled_once(world: World) -> None:
    agent = world.agent_of[world.add_host(2)]
    by = world.somebody()
    body = start(world, stop_after_failures=1)
    of = world.commands.submit(by, parse(body), None).operation
    dispatch = world.commands.polls.dispatch
    dispatch.round({agent: Asking(ONE, 2)}, world.clock.now())
    with world.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE operations SET stopping = 1, problem = 'stopped'")
    for _ in range(2):
        world.commands.cancel(by, of.id)
    assert [one.cancelling for one in of_operation(world, of)] == [True, True]
    assert len(world.audit("operation.cancel")) == 1
