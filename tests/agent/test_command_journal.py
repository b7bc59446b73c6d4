"""The journal of commands: what it keeps, and what it does when its disk does not do its part."""

from __future__ import annotations

import sqlite3
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from novacron_agent.commands.counts import CommandCounts
from novacron_agent.commands.entry import Outcome
from novacron_agent.commands.executor import Executor
from novacron_agent.commands.journal import KEPT_S, Journal
from novacron_agent.commands.journal_file import JournalFile
from novacron_agent.commands.settings import CommandsTable
from novacron_agent.providers.lifecycle import FoundVm
from novacron_contract.commands import MAX_DETAIL, VERBS, Order, State, Verb, report
from novacron_contract.errors import Unavailable
from novacron_contract.metrics import VmState
from pretend_hypervisor import Hypervisor, MortalAgent, SetClock, final

VM = "11111111-1111-4111-8111-111111111111"
DONE = Outcome(state=State.SUCCEEDED)


def order(verb: Verb = Verb.START, vm_id: str = VM, ttl_s: float = 60) -> Order:
    return Order(
        id=str(uuid.uuid4()),
        verb=verb,
        vm_id=vm_id,
        arguments=VERBS[verb].parse({}),
        ttl_ms=int(ttl_s * 1000),
        timeout_s=60.0,
    )


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.sqlite"


@pytest.fixture
def journal(path: Path, clock: SetClock) -> Iterator[Journal]:
    journal = Journal(path, clock)
    yield journal
    journal.close()


def finished(journal: Journal, one: Order) -> None:
    journal.accept([one], 0)
    journal.begin(one.id)
    journal.end(one.id, DONE)


def told(journal: Journal) -> None:
    journal.taken([(r.command_id, r.number) for r in journal.reports(10_000, 2**30)])


def states(journal: Journal) -> list[str]:
    return [entry["state"] for entry in journal.page(0, 10_000)[1]]


def test_it_is_readable_by_its_user_alone_and_keeps_its_instance(
    path: Path, clock: SetClock
) -> None:
    first = Journal(path, clock)
    instance = first.instance
    first.close()
    second = Journal(path, clock)

    assert second.instance == instance == str(uuid.UUID(instance))
    assert path.stat().st_mode & 0o777 == 0o600
    second.close()


def test_two_agents_cannot_have_it(path: Path, journal: Journal, clock: SetClock) -> None:
    journal.accept([order()], 0)
    other = Journal(path, clock)

    with pytest.raises(Unavailable, match="locked"):
        other.accept([order()], 0)
    other.close()


def test_an_order_is_known_for_seven_days_and_then_forgotten(
    journal: Journal, clock: SetClock
) -> None:
    one = order()
    finished(journal, one)
    told(journal)
    clock.pass_(KEPT_S - 1)
    journal.prune()
    assert journal.accept([one], 0) == []
    told(journal)
    clock.pass_(2)
    journal.prune()
    assert states(journal) == []


def test_what_the_collector_has_not_taken_is_kept_for_ever(
    journal: Journal, clock: SetClock
) -> None:
    one = order()
    finished(journal, one)
    clock.pass_(10 * KEPT_S)
    journal.prune()
    assert [r.state for r in journal.reports(10, 10_000)][-1] is State.SUCCEEDED
    assert states(journal) == ["succeeded"]


def test_it_has_room_for_so_many_and_the_oldest_that_were_told_go(
    path: Path, clock: SetClock
) -> None:
    journal = Journal(path, clock, max_rows=50)
    for _ in range(50):
        finished(journal, order())
    with pytest.raises(Unavailable, match="50 commands whose end the collector has not taken"):
        journal.accept([order()], 0)
    told(journal)
    assert len(journal.accept([order()], 0)) == 1
    assert len(states(journal)) <= 50
    journal.close()


def test_numbers_of_reports_are_never_given_twice(journal: Journal) -> None:
    one = order()
    journal.accept([one], 0)
    journal.begin(one.id)
    for n in range(3):
        journal.progress(one.id, str(n), n / 3)
    before = journal.reports(100, 10_000)
    assert [(r.number, r.text) for r in before] == [(1, ""), (2, ""), (5, "2")]
    told(journal)
    journal.progress(one.id, "more", None)
    journal.end(one.id, DONE)
    journal.progress(one.id, "late", None)
    assert not journal.end(one.id, DONE)
    assert [(r.number, r.state) for r in journal.reports(100, 10_000)] == [(7, State.SUCCEEDED)]


def test_an_order_that_comes_again_is_told_of_again_under_the_same_number(
    journal: Journal,
) -> None:
    one = order()
    finished(journal, one)
    before = journal.reports(10, 10_000)
    journal.accept([one], 0)
    assert journal.reports(10, 10_000) == before
    told(journal)

    assert journal.accept([one, one], 0) == []
    assert journal.reports(10, 10_000) == before[-1:]


def test_an_order_without_any_time_is_a_question_and_is_not_begun(
    path: Path, clock: SetClock
) -> None:
    hypervisor = Hypervisor(states={VM: VmState.STOPPED})
    agent = MortalAgent(path, hypervisor, clock)
    unseen, seen = order(ttl_s=0), order()
    agent.executor.take([seen], clock.since_boot())
    told(agent.journal)

    agent.executor.take([unseen, replace(seen, ttl_ms=0)], clock.since_boot())

    ends = final(agent.told())
    assert ends[unseen.id].state is State.EXPIRED
    assert ends[seen.id].state is State.SUCCEEDED
    assert set(hypervisor.effects) == {seen.id}
    agent.die()


def test_what_ended_keeps_no_secrets(journal: Journal, path: Path) -> None:
    seed = {"cloud_init": {"user_data": "password: hush-hush\n" * 2000}}
    spec = {"spec": {"name": "web", "memory_mib": 64, **seed}}
    one = replace(order(), verb=Verb.CREATE, arguments=VERBS[Verb.CREATE].parse(spec))
    journal.accept([one], 1000.0)
    journal.begin(one.id)
    [entry] = journal.unfinished()
    assert "hush-hush" in str(entry.order.arguments)

    journal.end(one.id, DONE)
    journal.close()

    left = b"".join(file.read_bytes() for file in path.parent.iterdir())
    assert b"hush-hush" not in left


def test_reports_come_in_pieces_of_a_bounded_size(journal: Journal) -> None:
    for _ in range(20):
        one = order()
        journal.accept([one], 0)
        journal.end(one.id, Outcome(state=State.FAILED, error="x" * 5000))

    pieces = journal.reports(100, 20_000)

    assert 5 < len(pieces) < 30
    assert len(journal.reports(7, 10**9)) == 7
    assert len(journal.reports(100, 1)) == 1, "one at least, or nothing would ever be told"
    assert all(len(r.error) <= 2000 for r in journal.reports(100, 10**9))


def test_a_detail_that_is_too_large_is_cut(journal: Journal) -> None:
    one = order()
    journal.accept([one], 0)
    journal.end(one.id, Outcome(state=State.SUCCEEDED, detail={"log": "x" * MAX_DETAIL}))
    assert journal.reports(9, 10**9)[-1].detail == {"cut": True}
    assert all(report(r.as_json()) == r for r in journal.reports(9, 10**9))


def test_what_was_withdrawn_while_it_was_about_to_begin_does_not(
    path: Path, clock: SetClock
) -> None:
    hypervisor = Hypervisor(states={VM: VmState.STOPPED})
    agent = MortalAgent(path, hypervisor, clock)
    one = order()
    look = hypervisor.find

    class Withdrawing(Hypervisor):
        def find(self, vm_id: str, patience_s: float) -> FoundVm:
            agent.journal.withdraw(one.id, Outcome(state=State.CANCELLED))
            return look(vm_id, patience_s)

    agent.executor.adopt(agent.executor._table, Withdrawing(states=hypervisor.states))
    agent.executor.take([one], clock.since_boot())

    assert final(agent.told())[one.id].state is State.CANCELLED
    assert hypervisor.states[VM] is VmState.STOPPED
    agent.die()


@pytest.mark.parametrize("damage", ["head", "middle", "text"])
def test_a_damaged_journal_is_put_away_and_a_new_one_is_another(
    path: Path, clock: SetClock, damage: str
) -> None:
    first = Journal(path, clock)
    for _ in range(50):
        finished(first, order())
    instance = first.instance
    first.close()
    _damage(path, damage)

    second = Journal(path, clock)

    assert second.instance != instance
    assert second.unfinished() == []
    assert second.file.set_aside == 1
    assert list(path.parent.glob("journal.sqlite.damaged-*"))
    second.close()


def _damage(path: Path, how: str) -> None:
    if how == "text":
        path.write_text("this is no database")
    else:
        with path.open("r+b") as file:
            file.seek(0 if how == "head" else 3 * 4096)
            file.write(b"\xff" * 4096)


def test_damage_that_is_found_while_it_is_used_begins_a_new_one(
    journal: Journal, path: Path
) -> None:
    instance = journal.instance
    assert journal.file._db is not None
    journal.file._db.execute("DROP TABLE commands")

    with pytest.raises(Unavailable):
        journal.accept([order()], 0)

    assert journal.instance != instance
    assert len(journal.accept([order()], 0)) == 1


def test_what_another_release_wrote_ends(journal: Journal) -> None:
    waiting, begun, good = order(), order(), order(vm_id=str(uuid.uuid4()))
    journal.accept([waiting, begun, good], 0)
    journal.begin(begun.id)
    with journal.file.change() as db:
        db.execute(
            "UPDATE commands SET body = replace(body, 'start', 'teleport') WHERE id IN (?, ?)",
            (waiting.id, begun.id),
        )

    assert [entry.id for entry in journal.unfinished()] == [good.id]
    ends = final(journal.reports(100, 10**6))
    assert ends[waiting.id].state is State.REJECTED
    assert ends[begun.id].state is State.OUTCOME_UNKNOWN


class FullDisk(JournalFile):
    """The engine's own error, as from a disk that takes nothing more."""

    def fill(self) -> None:
        with self.change() as db:
            db.execute("CREATE TABLE filler (bytes BLOB)")
        assert self._db is not None
        (pages,) = self._db.execute("PRAGMA page_count").fetchone()
        self._db.execute(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(sqlite3.OperationalError, match="full"):
            self._db.execute(
                "WITH RECURSIVE many(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM many LIMIT 1000)"
                " INSERT INTO filler SELECT zeroblob(1000) FROM many"
            )

    def mend(self) -> None:
        assert self._db is not None
        self._db.execute("PRAGMA max_page_count = 10000")


def test_nothing_is_accepted_or_begun_that_a_full_disk_does_not_take(
    path: Path, clock: SetClock
) -> None:
    hypervisor = Hypervisor(states={VM: VmState.STOPPED})
    agent = MortalAgent(path, hypervisor, clock)
    agent.journal.file = full = FullDisk(path)
    agent.journal.accept([order()], 0)
    full.fill()

    orders = [order() for _ in range(40)]
    with pytest.raises(Unavailable, match="the disk is full"):
        agent.executor.take(orders, clock.since_boot())

    assert not hypervisor.effects
    assert full.errors == 1
    full.mend()
    agent.executor.take(orders, clock.since_boot())
    assert hypervisor.states[VM] is VmState.RUNNING
    full.close()


@pytest.mark.parametrize("verb", [Verb.START, Verb.RESET])
def test_after_a_start_of_the_machine_what_had_not_begun_goes_on_or_expires(
    path: Path, clock: SetClock, verb: Verb
) -> None:
    hypervisor = Hypervisor(states={VM: VmState.STOPPED if verb is Verb.START else VmState.RUNNING})
    short, long = order(verb, ttl_s=30), order(verb, ttl_s=600)
    journal = Journal(path, clock)
    journal.accept([short, long], clock.since_boot())
    journal.close()
    clock.boot(took=60)

    agent = MortalAgent(path, hypervisor, clock)
    agent.executor.restore()

    ends = final(agent.told())
    assert ends[short.id].state is State.EXPIRED
    went_on = State.SUCCEEDED if verb is Verb.START else State.EXPIRED
    assert ends[long.id].state is went_on
    assert hypervisor.effects[long.id] == (verb is Verb.START)
    agent.die()


def test_a_wall_clock_that_was_set_back_over_a_start_gives_no_time(
    path: Path, clock: SetClock
) -> None:
    hypervisor = Hypervisor(states={VM: VmState.STOPPED})
    one = order(ttl_s=600)
    journal = Journal(path, clock)
    journal.accept([one], clock.since_boot())
    journal.close()
    clock.boot(took=-3600)

    agent = MortalAgent(path, hypervisor, clock)
    agent.executor.restore()

    assert final(agent.told())[one.id].state is State.EXPIRED
    agent.die()


def test_what_began_and_is_out_of_time_is_looked_at_and_no_more(
    path: Path, clock: SetClock
) -> None:
    """The agent was away for long: the VM may run again because somebody wants it to."""
    hypervisor = Hypervisor(states={VM: VmState.RUNNING})
    one = order(Verb.STOP)
    journal = Journal(path, clock)
    journal.accept([one], clock.since_boot())
    journal.begin(one.id)
    journal.close()
    clock.pass_(4000)

    agent = MortalAgent(path, hypervisor, clock)
    agent.executor.restore()

    assert final(agent.told())[one.id].state is State.FAILED
    assert hypervisor.states[VM] is VmState.RUNNING
    agent.die()


def test_an_opaque_effect_that_was_seen_is_known_after_a_crash(path: Path, clock: SetClock) -> None:
    one = order(Verb.REBOOT)
    journal = Journal(path, clock)
    journal.accept([one], clock.since_boot())
    journal.begin(one.id)
    journal.witness(one.id, "the guest has restarted")
    journal.close()

    agent = MortalAgent(path, Hypervisor(states={VM: VmState.RUNNING}), clock)
    agent.executor.restore()

    end = final(agent.told())[one.id]
    assert (end.state, end.text) == (State.SUCCEEDED, "the guest has restarted")
    agent.die()


def test_a_command_there_is_no_thread_for_waits_and_is_begun_later(
    path: Path, clock: SetClock
) -> None:
    hypervisor, threads = Hypervisor(states={VM: VmState.STOPPED}), [False, True]
    journal = Journal(path, clock)

    def begin(work: Callable[[], None]) -> None:
        if not threads.pop(0):
            raise RuntimeError("can't start new thread")
        work()

    executor = Executor(journal, clock, CommandCounts(), lambda: None, begin=begin)
    executor.adopt(CommandsTable(), hypervisor)
    one = order()

    executor.take([one], clock.since_boot())
    assert executor.active == {State.ACCEPTED: 1, State.RUNNING: 0}

    executor.expire()
    assert executor.active == {State.ACCEPTED: 0, State.RUNNING: 0}
    assert hypervisor.effects[one.id] == 1
    journal.close()
