"""Closed hours are held in memory, and no reader is told what is no longer so."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import pairwise
from typing import Any
from uuid import uuid4

import numpy as np
import pytest
from clickhouse_connect.driver.client import Client

from novacron_store.telemetry import expiry, schema
from novacron_store.telemetry.builder import (
    HeldHours,
    Index,
    Over,
    Query,
    Resolution,
    Select,
    evaluate,
    label,
    samples,
)
from novacron_store.telemetry.client import connect
from novacron_store.telemetry.migrations import migrate
from novacron_store.telemetry.progress import Progress, borders, revise
from novacron_store.telemetry.queries import ChartQuery, chart
from novacron_store.telemetry.retention import Retention, apply
from novacron_store.telemetry.rollups import Roller
from novacron_store.telemetry.writer import write
from store.batches import Line, at, batch, counter

HOUR = 3600
NOON = int(time.time()) // (12 * HOUR) * 12 * HOUR - 12 * HOUR  # or midnight, of late
BEGIN = NOON - 3 * HOUR
ENTITIES = ("vm-1", "vm-2")
NET, HEAT, SHORT = "vm.network.io", "heat", "short.heat"


class Through:
    """A client that tells of each statement, before it is asked and after."""

    def __init__(
        self,
        client: Client,
        before: Callable[[str, Any], None] = lambda *_: None,
        after: Callable[[str, Any], None] = lambda *_: None,
    ) -> None:
        self._client, self._before, self._after = client, before, after

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._client, name)
        if name not in ("query", "query_arrow", "command", "insert"):
            return method

        def asked(sql: str, *args: Any, **options: Any) -> Any:
            self._before(sql, args)
            answer = method(sql, *args, **options)
            self._after(sql, args)
            return answer

        return asked


class Asked:
    """What a client is asked of closed hours."""

    def __init__(self, client: Client) -> None:
        self.statements: list[str] = []
        self.client: Any = Through(client, self._note)

    def _note(self, sql: str, _: object) -> None:
        if any(table in sql for table in (f"FROM {schema.BLOCKS} FINAL", f"FROM {schema.TIMES}")):
            self.statements.append(sql)

    def take(self) -> int:
        count = len(self.statements)
        self.statements.clear()
        return count


def reader(held: HeldHours | None = None) -> Index:
    """It asks for the borders each time, and holds closed hours."""
    return Index(borders_held_s=0, hours=held or HeldHours())


def _lines(random: np.random.Generator, times: Sequence[float], name: str) -> list[Line]:
    grown = np.cumsum(random.integers(0, 9, len(times))).astype(float) + times[0] / 1e6
    told = list(zip(times, grown.round(3).tolist(), strict=True))
    noise = list(zip(times, random.standard_normal(len(times)).tolist(), strict=True))
    received = {"network.io.direction": "receive"}
    return [
        counter(NET, name, told, **received),
        counter(NET, name, told[::3], **{"network.io.direction": "transmit"}),
        Line(HEAT, name, noise),
        Line(SHORT, name, noise[::2]),
    ]


def fill(store: Client) -> None:
    """The first ten minutes of three hours that are closed, and of an open one."""
    random = np.random.default_rng(5)
    times = [float(t) for t in range(BEGIN, NOON + HOUR, 20) if t % HOUR < 600]
    lines = [line for name in ENTITIES for line in _lines(random, times, name)]
    write(store, batch(lines, {name: {"vm.id": name} for name in ENTITIES}), "all", at(NOON))
    Roller(store, settle_s=0).run(at(NOON + 1200))


def come_late(
    store: Client, token: str, now: float, hour: int, entity: str = "vm-1", window: int = 300
) -> None:
    """Samples between those that are there."""
    random = np.random.default_rng(list(token.encode()))
    times = (hour + window + 10 + 20 * np.sort(random.choice(14, 5, replace=False))).astype(float)
    write(store, batch(_lines(random, times.tolist(), entity)), token, at(now))


Question = Callable[[Client, Index | None], Any]


def raw(metric: str, start: float, end: float) -> Question:
    def ask(client: Client, index: Index | None) -> Any:
        found = samples(client, (metric,), start, end, index=index)
        return found.labels, [x.tolist() for x in found.times], [x.tolist() for x in found.values]

    return ask


def windows(metric: str, over: Over, entity: str, start: float, end: float) -> Question:
    of = Select(metric, over, label("entity", entity))

    def ask(client: Client, index: Index | None) -> Any:
        answer = evaluate(client, Query(of, start, end, 600, Resolution.RAW), index)
        return answer.labels, str(answer.values.tolist())

    return ask


def drawn(metric: str, entity: str, start: float, end: float) -> Question:
    def ask(client: Client, index: Index | None) -> Any:
        return chart(client, ChartQuery(metric, entity, at(start), at(end), 200), index).lines

    return ask


def some_question(random: np.random.Generator) -> Question:
    start, end = (BEGIN + float(x) for x in np.sort(random.integers(0, 3 * HOUR + 900, 2)))
    metric, entity = str(random.choice([NET, HEAT, SHORT])), str(random.choice(ENTITIES))
    overs = [Over.AVG, Over.LAST, Over.QUANTILE] + 3 * [Over.RATE] * (metric == NET)
    over = overs[int(random.integers(len(overs)))]
    ways = [
        raw(metric, start, end + 1),
        windows(metric, over, entity, start, end),
        drawn(metric, entity, start, end + 300),
    ]
    return ways[int(random.integers(3))]


class _Killed(Exception):
    pass


def killed_while_closing(store: Client, now: float, moment: str) -> bool:
    """The roller, when an hour that was closed is closed again; whether it came to that."""

    def before(sql: str, args: Sequence[Any]) -> None:
        if sql == schema.ROLLED and moment == "recorded" and args[0][0][0] == schema.REVISED:
            raise _Killed

    def after(sql: str, _: object) -> None:
        if f"INSERT INTO {moment}" in sql:
            raise _Killed

    client: Any = Through(store, before, after)
    try:
        Roller(client, settle_s=0).run(at(now))
    except _Killed:
        return True
    return False


@pytest.mark.parametrize("seed", [1])
def test_whatever_happens_to_closed_hours_who_holds_them_says_what_others_say(
    store: Client, seed: int
) -> None:
    """Samples come late, hours are closed again, or half, and a class of samples is dropped."""
    apply(store, Retention(classes={"short": 7 * 86_400}, rules=((SHORT, "short"),)))
    fill(store)
    random, now = np.random.default_rng(seed), NOON + 1400.0
    held, fresh = HeldHours(), Index(borders_held_s=0)
    index, most = reader(held), 0
    every = ["late"] * 3 + ["closed"] * 3 + ["killed"] * 3 + ["dropped"] * 2

    for n, what in enumerate(random.permutation(every)):
        now += 10
        if what in ("late", "killed"):
            hour = BEGIN + HOUR * int(random.integers(3))
            window = 300 * int(random.integers(3))
            come_late(store, f"{n} {seed}", now, hour, str(random.choice(ENTITIES)), window)
        if what == "killed":
            moment = random.choice([schema.BLOCKS, schema.BUCKETS_1H, "recorded"])
            assert killed_while_closing(store, now + 1, str(moment))
            for _ in range(3):
                some_question(random)(store, index)  # and holds what is half done
        if what in ("closed", "killed"):
            Roller(store, settle_s=0).run(at(now + 2))
        if what == "dropped":
            parts = expiry.partitions(store)
            assert raw(SHORT, BEGIN, NOON)(store, index)[0] or n > 3
            expiry.drop(store, [one for one in parts if one.retention_class == "short"])
            assert raw(SHORT, BEGIN, NOON)(store, index)[0] == []
        for _ in range(4):
            ask = some_question(random)
            assert ask(store, index) == ask(store, fresh), (n, what)
        most = max(most, held.bytes)
    assert most > 10_000


@pytest.fixture(scope="module")
def filled(engine_url: str) -> Iterator[Client]:
    """Of which nothing changes."""
    client = connect(engine_url, database=f"novacron_{uuid4().hex}")
    migrate(client)
    fill(client)
    yield client
    client.command(f"DROP DATABASE {client.database}", use_database=False)
    client.close()


@pytest.fixture
def asked(filled: Client) -> Asked:
    return Asked(filled)


@pytest.mark.parametrize(
    "ask",
    [
        raw(NET, BEGIN + 100, NOON + 60),
        windows(NET, Over.RATE, "vm-1", BEGIN + HOUR, NOON),
        windows(HEAT, Over.QUANTILE, "vm-2", BEGIN + HOUR, NOON + 600),
        drawn(NET, "vm-1", BEGIN + HOUR, NOON),
    ],
    ids=["samples", "rate", "quantile", "chart"],
)
def test_a_question_asked_again_reads_no_closed_hours(asked: Asked, ask: Question) -> None:
    index = reader()

    first = ask(asked.client, index)
    assert asked.take() == 2
    assert ask(asked.client, index) == first == ask(asked.client, None)
    assert asked.take() == 2  # of who holds nothing


def test_a_metric_that_is_named_twice_is_asked_for_once(asked: Asked) -> None:
    index = reader()
    twice = samples(asked.client, [HEAT, HEAT], BEGIN, NOON, index=index)

    once = samples(asked.client, [HEAT], BEGIN, NOON, index=index)

    assert [len(times) for times in once.times] == [len(times) for times in twice.times]
    assert [len(times) for times in once.times] == [90, 90]


def test_questions_that_overlap_read_what_is_missing(asked: Asked) -> None:
    index, whole = reader(), raw(HEAT, BEGIN, NOON)

    raw(HEAT, BEGIN + HOUR, NOON - HOUR)(asked.client, index)
    windows(HEAT, Over.AVG, "vm-1", NOON - HOUR + 600, NOON)(asked.client, index)
    assert asked.take() == 4
    assert whole(asked.client, index) == whole(asked.client, None)
    assert asked.take() == 4
    raw(HEAT, BEGIN + 5, NOON - 5)(asked.client, index)
    assert asked.take() == 0


def test_what_counters_grew_by_is_read_when_it_is_asked_for(asked: Asked) -> None:
    """A chart needs values alone."""
    index, rate = reader(), windows(NET, Over.RATE, "vm-1", BEGIN + HOUR, NOON)
    drawn(NET, "vm-1", BEGIN + 600, NOON)(asked.client, index)
    asked.take()

    assert [rate(asked.client, index) for _ in range(2)] == [rate(asked.client, None)] * 2
    assert asked.take() == 4
    drawn(NET, "vm-1", BEGIN + 600, NOON)(asked.client, index)
    assert asked.take() == 0


def test_who_asks_while_an_hour_is_closed_again_is_not_left_with_what_was_before(
    store: Client,
) -> None:
    """At any moment of it: also when the step into the next hour is still the old one."""
    fill(store)
    index, ask = reader(), windows(NET, Over.RATE, "vm-1", BEGIN + HOUR, NOON)
    first = ask(store, index)
    come_late(store, "late", NOON + 1500, BEGIN, window=600)  # behind what is there

    def meanwhile(sql: str, _: object) -> None:
        if sql == schema.ROLLED or sql.lstrip().startswith("INSERT"):
            ask(store, index)

    client: Any = Through(store, meanwhile, meanwhile)
    Roller(client, settle_s=0).run(at(NOON + 1501))

    assert first != ask(store, index) == ask(store, None)


def test_a_roller_that_dies_before_it_says_so_does_it_again(store: Client) -> None:
    fill(store)
    index, questions = reader(), [raw(NET, BEGIN, NOON), raw(HEAT, BEGIN, NOON)]
    told = [sum(map(len, ask(store, index)[1])) for ask in questions[1:]]
    known = [borders(store).revision]
    for n, moment in enumerate([schema.BLOCKS, schema.BUCKETS_1H, "recorded"]):
        come_late(store, moment, NOON + 1500 + 100 * n, BEGIN)
        assert killed_while_closing(store, NOON + 1501 + 100 * n, moment)
        for ask in questions:
            ask(store, index)

        Roller(store, settle_s=0).run(at(NOON + 1550 + 100 * n))

        found = [ask(store, index) for ask in questions]
        assert found == [ask(store, None) for ask in questions]
        told.append(sum(map(len, found[1][1])))
        known.append(borders(store).revision)
    for grown in (told, known):
        assert all(more > before for before, more in pairwise(grown))


class _OfARelease(Index):
    """Before there were revisions."""

    def progress(self, client: Client) -> Progress:
        known = super().progress(client)
        return replace(known, borders=replace(known.borders, revision=0))


def test_nothing_is_held_where_nobody_tells_of_changes(asked: Asked) -> None:
    index, ask = _OfARelease(hours=HeldHours()), raw(HEAT, BEGIN, NOON)

    assert ask(asked.client, index) == ask(asked.client, index)
    assert asked.take() == 4


def test_a_revision_only_grows(store: Client) -> None:
    """Also where a clock was ahead, and where several say so at once."""
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(revise, [store] * 4))
    known = borders(store).revision
    assert known >= int(time.time()) - 60
    store.insert(schema.ROLLED, [[schema.REVISED, at(known + 86_400)]], ["resolution", "upto"])

    revise(store)

    assert borders(store).revision == known + 86_401
