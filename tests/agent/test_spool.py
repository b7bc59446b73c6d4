"""What a spool keeps, drops and tells, whatever is asked of it and whenever it is killed."""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from pathlib import Path

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from novacron_agent.delivery.batch import Batch, Dropped, Gap, uuid7
from novacron_agent.delivery.counts import DeliveryCounts
from novacron_agent.delivery.spool import Limits, Spool
from novacron_agent.otlp import Request
from novacron_contract.errors import Unavailable
from sealed_requests import START_NS, TICK_NS, request

OVERHEAD = 4096  # that a batch counts for beside its body
AGE_S = 1000.0


def spool_at(path: Path, size: int = 2**20, age_s: float = AGE_S, dead: int = 2**20) -> Spool:
    return Spool(path, Limits(size, age_s, dead), DeliveryCounts("there"))


def everything(spool: Spool) -> list[Batch]:
    """All that waits, oldest first; it is gone afterwards."""
    found = []
    while (batch := spool.take(newest=False)) is not None:
        spool.ack(batch)
        found.append(batch)
    return found


def told(spool: Spool) -> list[Gap]:
    """The gaps that would be told now; they still are to be told afterwards."""
    heard: list[Gap] = []

    def hear(gaps: list[Gap]) -> Request:
        heard.extend(gaps)
        raise InterruptedError

    with pytest.raises(InterruptedError):
        spool.tell_gaps(hear)
    return heard


class Machine(RuleBasedStateMachine):
    """The spool beside a list."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="spool-"))
        self.now = START_NS
        self.number = 0
        self.waiting: list[tuple[int, int]] = []  # number, when it was put
        self.lost: dict[str, int] = dict.fromkeys(Dropped, 0)
        self.in_hand: Batch | None = None
        self.bodies: dict[bytes, int] = {}

    @initialize(room=st.integers(2, 8))
    def open(self, room: int) -> None:
        self.limit = room * (OVERHEAD + 400)
        self.counts = DeliveryCounts("there")
        self.spool = self._opened()

    def _opened(self) -> Spool:
        limits = Limits(self.limit, AGE_S, 8 * OVERHEAD)
        return Spool(self.folder / "s.sqlite", limits, self.counts, lambda: self.now)

    def _take_out(self, reason: Dropped) -> None:
        held = self.in_hand and self.bodies[self.in_hand.body]
        index = next(i for i, (number, _) in enumerate(self.waiting) if number != held)
        self.waiting.pop(index)
        self.lost[reason] += 1

    @rule(count=st.integers(1, 3))
    def put(self, count: int) -> None:
        new = []
        for _ in range(count):
            self.number += 1
            new.append(request(self.number))
            self.bodies[new[-1].body] = self.number
        sizes = {number: len(body) + OVERHEAD for body, number in self.bodies.items()}
        held = self.in_hand and self.bodies[self.in_hand.body]
        droppable = [w for w in self.waiting if w[0] != held]
        while droppable and droppable[0][1] < self.now - AGE_S * 1e9:
            self._take_out(Dropped.AGE)
            droppable.pop(0)
        for number in range(self.number - count + 1, self.number + 1):
            while sum(sizes[n] for n, _ in self.waiting) + sizes[number] > self.limit:
                if not [w for w in self.waiting if w[0] != held]:
                    break
                self._take_out(Dropped.SIZE)
            self.waiting.append((number, self.now))
        self.spool.put(new)

    @rule(newest=st.booleans())
    def take(self, newest: bool) -> None:
        self.in_hand = self.spool.take(newest=newest)
        if not self.waiting:
            assert self.in_hand is None
        else:
            assert self.in_hand is not None
            assert self.bodies[self.in_hand.body] == self.waiting[-1 if newest else 0][0]

    def _done(self) -> Batch:
        batch, self.in_hand = self.in_hand, None
        assert batch is not None
        self.waiting = [w for w in self.waiting if w[0] != self.bodies[batch.body]]
        return batch

    @precondition(lambda self: self.in_hand)
    @rule()
    def ack(self) -> None:
        self.spool.ack(self._done())

    @precondition(lambda self: self.in_hand)
    @rule()
    def bury(self) -> None:
        self.spool.bury(self._done(), "no good")
        self.lost[Dropped.REFUSED] += 1

    @precondition(lambda self: self.in_hand)
    @rule()
    def let_go(self) -> None:
        assert self.in_hand is not None
        self.spool.let_go(self.in_hand)
        self.in_hand = None

    @rule(seconds=st.sampled_from([10, 400, 1500]))
    def time_passes(self, seconds: int) -> None:
        self.now += seconds * 10**9

    @rule(killed=st.booleans())
    def reopen(self, killed: bool) -> None:
        """Killed: what is on disk at that moment is all there is."""
        if killed:
            self.spool.state  # noqa: B018
            copy = self.folder.with_name(self.folder.name + "-copy")
            shutil.copytree(self.folder, copy)
            self.spool.close()
            shutil.rmtree(self.folder)
            copy.rename(self.folder)
        else:
            self.spool.close()
        self.spool, self.in_hand = self._opened(), None

    @invariant()
    def as_the_list(self) -> None:
        if self.number == 0:
            return
        oldest = self.spool.take(newest=False)
        if self.in_hand is None and oldest is not None:
            self.spool.let_go(oldest)
        elif self.in_hand is not None:
            self.spool._in_hand = self.in_hand.place
        assert (oldest and self.bodies[oldest.body]) == (
            self.waiting[0][0] if self.waiting else None
        )
        assert self.spool.state.batches == len(self.waiting)
        assert self.counts.lost() == self.lost
        gaps = told(self.spool) if any(self.lost.values()) else []
        for reason, points in self.lost.items():
            mine = [gap for gap in gaps if gap.reason == reason]
            assert sum(gap.points for gap in mine) == points

    def teardown(self) -> None:
        if hasattr(self, "spool"):
            self.spool.close()
        shutil.rmtree(self.folder, ignore_errors=True)


Machine.TestCase.settings = settings(
    max_examples=40, stateful_step_count=25, deadline=None, phases=(Phase.generate,)
)
TestAgainstAList = Machine.TestCase


def test_what_was_put_is_there_after_a_start(tmp_path: Path) -> None:
    spool = spool_at(tmp_path / "a/b/s.sqlite")
    sent = [request(n, points=n + 1) for n in range(3)]
    spool.put(sent)
    spool.close()

    found = everything(spool_at(spool.path))

    assert [batch.body for batch in found] == [one.body for one in sent]
    assert [(b.points, b.first_ns) for b in found] == [
        (n + 1, START_NS + n * TICK_NS) for n in range(3)
    ]
    assert len({batch.id for batch in found}) == 3
    assert {batch.id.version for batch in found} == {7}


def test_nobody_else_may_read_it(tmp_path: Path) -> None:
    spool = spool_at(tmp_path / "spool/s.sqlite")
    spool.put([request()])

    assert spool.path.parent.stat().st_mode & 0o777 == 0o700
    for file in spool.path.parent.iterdir():
        assert file.stat().st_mode & 0o777 == 0o600, file


def test_exactly_the_oldest_go_and_one_gap_names_their_times(tmp_path: Path) -> None:
    one = len(request(0, padding=900).body) + OVERHEAD
    spool = spool_at(tmp_path / "s.sqlite", size=10 * one + 100)

    for number in range(25):
        spool.put([request(number, padding=900)])

    [gap] = told(spool)
    kept = everything(spool)
    assert gap.reason == Dropped.SIZE
    assert gap.points + len(kept) == 25
    assert gap.first_ns == START_NS
    assert gap.last_ns == kept[0].first_ns - TICK_NS
    assert [b.first_ns for b in kept] == [START_NS + n * TICK_NS for n in range(25 - len(kept), 25)]


def test_what_was_delivered_in_between_is_not_in_a_gap(tmp_path: Path) -> None:
    one = len(request(0).body) + OVERHEAD
    spool = spool_at(tmp_path / "s.sqlite", size=3 * one + 200)
    spool.put([request(number) for number in range(3)])
    for number in range(3, 6):
        spool.put([request(number)])  # 0, 1, 2 go
    for _ in range(3):
        batch = spool.take(newest=False)  # 3, 4, 5 arrive
        assert batch
        spool.ack(batch)
    for number in range(6, 11):
        spool.put([request(number)])  # 6, 7 go

    spans = [((g.first_ns - START_NS) // TICK_NS, g.points) for g in told(spool)]

    assert spans == [(0, 3), (6, 2)]


def test_gaps_become_a_batch_that_is_never_dropped(tmp_path: Path) -> None:
    one = len(request(0).body) + OVERHEAD
    spool = spool_at(tmp_path / "s.sqlite", size=3 * one + 200)
    for number in range(5):
        spool.put([request(number)])
    notice = Request(b"gaps", 2, 0, 0)

    assert spool.tell_gaps(lambda gaps: notice)
    assert not spool.tell_gaps(lambda gaps: notice), "all is told"
    for number in range(5, 20):
        spool.put([request(number)])
    assert not spool.tell_gaps(lambda gaps: notice), "one waits; the next tells more"
    spool.close()

    found = everything(spool_at(spool.path))
    assert [batch.body for batch in found if batch.notice] == [b"gaps"]
    assert len(found) == 3


def test_gaps_are_few_however_many_there_are(tmp_path: Path) -> None:
    spool = spool_at(tmp_path / "s.sqlite")
    for number in range(200):
        spool.put([request(number), request(number)])
        batch = spool.take(newest=False)
        assert batch
        spool.bury(batch, "no")
        batch = spool.take(newest=False)
        assert batch
        spool.ack(batch)

    gaps = told(spool)

    assert len(gaps) <= 64
    assert sum(gap.points for gap in gaps) == 200
    assert gaps[0].first_ns == START_NS
    assert gaps[-1].last_ns == START_NS + 199 * TICK_NS


def test_dead_letters_are_kept_with_their_reason_up_to_a_limit(tmp_path: Path) -> None:
    spool = spool_at(tmp_path / "s.sqlite", dead=3 * (OVERHEAD + 300))
    for number in range(9):
        spool.put([request(number)])
        batch = spool.take(newest=True)
        assert batch
        spool.bury(batch, f"reason {number}")
    spool.close()

    with sqlite3.connect(spool.path) as db:
        kept = db.execute("SELECT reason FROM dead_letters ORDER BY number").fetchall()
    db.close()
    assert kept == [("reason 6",), ("reason 7",), ("reason 8",)]


def test_halves_stand_where_the_whole_stood(tmp_path: Path) -> None:
    spool = spool_at(tmp_path / "s.sqlite")
    spool.put([request(number) for number in range(3)])
    first = spool.take(newest=False)
    assert first
    spool.split(first, (request(10), request(11)))
    second = spool.take(newest=False)
    assert second
    spool.split(second, (request(20), request(21)))
    spool.close()

    order = [(b.first_ns - START_NS) // TICK_NS for b in everything(spool_at(spool.path))]

    assert order == [20, 21, 11, 1, 2]


def test_the_disk_is_given_back_after_an_outage(tmp_path: Path) -> None:
    spool = spool_at(tmp_path / "s.sqlite", size=64 * 2**20)
    for number in range(40):
        spool.put([Request(os.urandom(2**20), 1, number, number)])
    assert spool.path.stat().st_size > 30 * 2**20

    assert len(everything(spool)) == 40

    assert spool.path.stat().st_size < 2**20
    spool.put([request()])
    assert spool.state.batches == 1


def test_a_second_agent_is_told_that_the_spool_is_taken(tmp_path: Path) -> None:
    first, second = spool_at(tmp_path / "s.sqlite"), spool_at(tmp_path / "s.sqlite")
    first.put([request(1)])

    with pytest.raises(Unavailable, match="locked"):
        second.put([request(2)])

    assert len(everything(first)) == 1


def test_ids_are_in_order_of_time() -> None:
    ids = [uuid7(ms * 10**6) for ms in range(1, 100)]
    assert ids == sorted(ids)
    assert {one.variant for one in ids} == {"specified in RFC 4122"}
