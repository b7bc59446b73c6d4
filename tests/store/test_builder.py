"""The query builder says what a slow calculation over the same samples says."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from uuid import uuid4

import numpy as np
import pytest
from clickhouse_connect.driver.client import Client
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from noon import NOON
from novacron_contract.errors import BadMessage, NotFound, TooLarge
from novacron_store.telemetry.builder import (
    Aggregate,
    All,
    Answer,
    Any,
    Binary,
    Expression,
    Filter,
    HeldHours,
    How,
    Label,
    Limits,
    Not,
    Over,
    Query,
    Scalar,
    Select,
    Smooth,
    evaluate,
    label,
    samples,
)
from novacron_store.telemetry.builder.index import Index
from novacron_store.telemetry.client import connect
from novacron_store.telemetry.migrations import migrate
from novacron_store.telemetry.progress import Resolution
from novacron_store.telemetry.rollups import Roller
from novacron_store.telemetry.writer import write
from store.batches import Line, at, batch
from store.samples_oracle import Known, Oracle, Rows

HOUR = 3600
BEGIN, END = NOON - 4 * HOUR, NOON + 2400  # four hours that are closed, and most of an open one
COUNTERS, GAUGES = ("net", "reqs"), ("cpu", "temp")
MODES = ("user", "system", "it's {odd}")


class Told:
    """A store with samples, and the same samples."""

    def __init__(self, client: Client, series: list[Known]) -> None:
        self.client, self.series, self.index = client, series, Index(hours=HeldHours())


def _lines(random: np.random.Generator) -> tuple[list[Line], dict[str, dict[str, str]]]:
    resources = {
        f"vm-{n}": {"vm.id": f"vm-{n}", "vm.name": f"name {n}", "team": ("web", "db")[n % 2],
                    "zone": f"zone-{n % 3}"}
        for n in range(4)
    }  # fmt: skip
    lines = []
    for entity in resources:
        for metric in (*COUNTERS, *GAUGES):
            for mode in MODES[: int(random.integers(1, 4))]:
                lines.append(_line(random, metric, entity, mode))
    return lines, resources


def _line(random: np.random.Generator, metric: str, entity: str, mode: str) -> Line:
    """With gaps, one of which may be hours long, restarts, and times on borders of windows."""
    step = int(random.choice([15, 20, 60]))
    times = np.arange(BEGIN, END, step) + (0 if random.random() < 0.5 else 0.123)
    times = times[random.random(len(times)) > 0.1]
    hole = BEGIN + random.random() * (END - BEGIN)
    long = float(random.choice([0, 400, 2.5 * HOUR]))
    times = times[(times < hole) | (times > hole + long)]
    values = _values(random, metric, len(times))
    samples = [(float(t), float(v)) for t, v in zip(times, values, strict=True)]
    attributes = {"mode": mode}
    if metric == "net":
        return Line(metric, entity, samples, "sum", "cumulative", True, attributes, "By")
    if metric == "reqs":
        return Line(metric, entity, samples, "sum", "delta", True, attributes, "1")
    return Line(metric, entity, samples, attributes=attributes)


def _values(random: np.random.Generator, metric: str, count: int) -> np.ndarray:
    if metric == "net":
        grown = np.cumsum(random.integers(0, 5000, count))
        restart = int(random.integers(0, max(1, count)))
        return np.concatenate([grown[:restart], grown[restart:] - grown[restart:][:1]])
    if metric == "reqs":
        return random.integers(0, 9, count)
    if metric == "cpu":
        return np.round(random.random(count), 4)
    return 20 + 5 * random.standard_normal(count)  # no decimals


@pytest.fixture(scope="module")
def told(engine_url: str) -> Iterator[Told]:
    client = connect(engine_url, database=f"novacron_{uuid4().hex}")
    migrate(client)
    random = np.random.default_rng(11)
    lines, resources = _lines(random)
    late = {ln.series: [s for s in ln.samples if random.random() < 0.05] for ln in lines}
    soon = [_of(ln, [s for s in ln.samples if s not in late[ln.series]]) for ln in lines]
    roller = Roller(client, settle_s=0, kept_s=0)
    for end in (NOON - 2 * HOUR, NOON, END):  # the last 10 minutes are not gathered
        part = [_of(ln, [s for s in ln.samples if end - 2 * HOUR <= s[0] < end]) for ln in soon]
        write(client, batch([ln for ln in part if ln.samples], resources), str(end), at(end))
        roller.run(at(min(end, END - 600) + 480))
        ends = [_of(ln, [(end - 1.5, math.nan)]) for ln in lines[::7]]
        write(client, batch(ends, resources), f"ends {end}", at(end))
    few = [_of(ln, late[ln.series]) for ln in lines]
    write(client, batch([ln for ln in few if ln.samples], resources), "late", at(END - 200))
    roller.run(at(END - 120))
    yield Told(client, [_known(ln, resources) for ln in lines])
    client.command(f"DROP DATABASE {client.database}", use_database=False)
    client.close()


def _of(line: Line, samples: list[tuple[float, float]]) -> Line:
    return Line(line.metric, line.entity, samples, line.kind, line.temporality, line.monotonic,
                line.attributes, line.unit)  # fmt: skip


def _known(line: Line, resources: dict[str, dict[str, str]]) -> Known:
    shown = {**line.attributes, "entity": line.entity}
    samples = sorted(line.samples)
    return Known(
        line.metric, {**resources[line.entity], **shown}, shown, line.kind == "sum",
        line.temporality == "delta", [round(t * 1000) for t, _ in samples],
        [value for _, value in samples],
    )  # fmt: skip


def test_the_store_is_as_mixed_as_it_should_be(told: Told) -> None:
    """Closed hours, an open one, arrivals, hours that were closed again, values of both kinds."""
    count = {
        name: told.client.command(f"SELECT count() FROM {name}")
        for name in ("data_blocks WHERE version > 1", "data_blocks WHERE scale < 0",
                     "data_blocks WHERE scale > 2", "data_windows",
                     f"data_arrivals WHERE ts > toDateTime64({NOON + 1900}, 3, 'UTC')",
                     "data_blocks WHERE carried > 0")
    }  # fmt: skip
    assert all(count.values()), count
    assert told.client.command("SELECT count() FROM samples") == sum(
        len(one.times) for one in told.series
    )


filters: st.SearchStrategy[Filter] = st.recursive(
    st.one_of(
        st.builds(Label, st.just("mode"), st.sampled_from(["=", "!="]), st.sampled_from(MODES)),
        st.builds(Label, st.just("team"), st.sampled_from(["=", "!="]), st.just("web")),
        st.builds(Label, st.just("zone"), st.sampled_from(["=~", "!~"]),
                  st.sampled_from(["zone-[01]", "zone", ".*-2", "zone-(1|2)"])),
        st.builds(Label, st.just("entity"), st.just("="), st.sampled_from(["vm-1", "vm-3", "x"])),
        st.builds(Label, st.just("entity"), st.just("=~"), st.sampled_from(["vm-[0-2]", ".*"])),
        st.builds(Label, st.just("nobody"), st.sampled_from(["=", "!="]),
                  st.sampled_from(["", "x"])),
    ),
    lambda inner: st.one_of(
        st.builds(Not, inner),
        st.builds(All, st.tuples(inner, inner)),
        st.builds(Any, st.tuples(inner, inner)),
    ),
    max_leaves=4,
)  # fmt: skip


@st.composite
def selects(draw: st.DrawFn) -> Select:
    metrics: list[str | tuple[str, ...]] = [*COUNTERS, *GAUGES, GAUGES]
    metric = draw(st.sampled_from(metrics))
    overs = [over for over in Over if metric in COUNTERS or over not in (Over.INCREASE, Over.RATE)]
    return Select(
        metric,
        draw(st.sampled_from(overs)),
        draw(filters),
        draw(st.sampled_from([None, None, 60, 90, 300, 600, 3600, 7200])),
        draw(st.sampled_from([0, 0, 0, 60, 3600, -300])),
        draw(st.sampled_from([0, 0.5, 0.95, 1])),
    )


def aggregates(of: st.SearchStrategy[Expression]) -> st.SearchStrategy[Expression]:
    return st.builds(
        lambda how, inner, by, share: Aggregate(
            how, inner, by, 2 if how in (How.TOP, How.BOTTOM) else share
        ),
        st.sampled_from(How),
        of,
        st.sampled_from([(), ("mode",), ("entity",), ("team",), ("zone", "mode"), ("nobody",)]),
        st.sampled_from([0.1, 0.5]),
    )


plain = selects()
expressions: st.SearchStrategy[Expression] = st.one_of(
    plain,
    aggregates(plain),
    aggregates(plain),
    st.builds(Smooth, plain, st.integers(1, 4)),
    st.builds(Binary, st.sampled_from("+-*/"), plain,
              st.builds(Scalar, st.sampled_from([2.0, 0.0]))),
    st.builds(lambda op, one, back: Binary(op, one, Select(one.metric, one.over, one.where,
              one.window, one.offset + back, one.argument)), st.sampled_from("+-*/"), plain,
              st.sampled_from([300, 3600])),
)  # fmt: skip
steps = st.sampled_from([15, 30, 60, 300, 600, 1800, 3600, 7200])


@pytest.mark.timeout(900)
@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(of=expressions, step=steps, first=st.integers(-16, 10), points=st.integers(1, 12),
       align=st.booleans(), few=st.sampled_from([0, 20, 500]), known=st.booleans())  # fmt: skip
def test_a_query_equals_what_is_worked_out_slowly(
    told: Told,
    of: Expression,
    step: int,
    first: int,
    points: int,
    align: bool,
    few: int,
    known: bool,
) -> None:
    """Where samples are unpacked here and where SQL does it; with series known before, and closed
    hours held, and not."""
    start = NOON + first * 900 + (0 if align else 7)
    if align:
        start = start // step * step

    query = Query(of, start, start + step * (points - 1), step)
    answer = evaluate(told.client, query, told.index if known else None, Limits(few=few))

    oracle = Oracle(told.series, start * 1000, step * 1000, points)
    expected = oracle.answer(of)
    found: Rows = {
        frozenset(labels.items()): {
            n: float(value) for n, value in enumerate(row) if not math.isnan(value)
        }
        for labels, row in zip(answer.labels, answer.values, strict=True)
    }
    if isinstance(of, Aggregate) and of.how in (How.TOP, How.BOTTOM):
        counts = Counter(point for row in found.values() for point in row)
        assert counts == oracle.leaders(of)
        expected = {name: {p: expected[name][p] for p in row} for name, row in found.items()}
    assert found.keys() == expected.keys()
    for name, row in expected.items():
        assert found[name] == pytest.approx(row, rel=1e-7, abs=1e-9), dict(name)
    assert list(answer.times) == [start * 1000 + step * 1000 * n for n in range(points)]


@pytest.mark.parametrize(
    ("step", "resolution"),
    [(60, Resolution.RAW), (300, Resolution.FIVE_MINUTES), (3600, Resolution.HOUR)],
)
def test_the_coarsest_data_that_says_the_same_is_read(
    told: Told, step: int, resolution: Resolution
) -> None:
    asked = Query(Select("net", Over.RATE), NOON - 7200, NOON, step)

    coarse = evaluate(told.client, asked)
    raw = evaluate(told.client, Query(asked.of, asked.start, asked.end, step, Resolution.RAW))

    assert coarse.resolution is resolution
    assert coarse.labels == raw.labels
    assert coarse.values == pytest.approx(raw.values, nan_ok=True)


@pytest.mark.parametrize("step", [60, 300, 3600])
def test_series_of_which_several_things_are_asked_are_read_once(told: Told, step: int) -> None:
    """In as many statements as one of them takes."""
    least, most, mean = (Select("cpu", over) for over in (Over.MIN, Over.MAX, Over.AVG))

    def asked(of: Expression) -> Answer:
        return evaluate(told.client, Query(of, NOON - 7200, END, step))

    spread = asked(Binary("/", Binary("-", most, least), mean))

    apart = [asked(of).values for of in (most, least, mean)]
    assert spread.values == pytest.approx((apart[0] - apart[1]) / apart[2], nan_ok=True)
    assert len(spread.asked) == len(asked(mean).asked)


@pytest.mark.parametrize("metrics", [("net",), ("temp", "cpu")])
@pytest.mark.parametrize(
    ("first", "last"), [(BEGIN, END), (NOON - 4000, NOON - 100), (NOON - 10, NOON + 10), (END, 9e9)]
)
def test_samples_come_as_they_were_sent(
    told: Told, metrics: tuple[str, ...], first: float, last: float
) -> None:
    found = samples(told.client, metrics, first, last, Label("team", "!=", "db"), told.index)

    expected = {}
    for one in told.series:
        if one.metric in metrics and one.labels["team"] != "db":
            named = {**one.shown, **({"metric": one.metric} if len(metrics) > 1 else {})}
            inside = [(t, x) for t, x in zip(one.times, one.values, strict=True)
                      if first * 1000 <= t < last * 1000]  # fmt: skip
            if inside:
                expected[frozenset(named.items())] = inside
    assert expected == {
        frozenset(labels.items()): list(zip(times.tolist(), values.tolist(), strict=True))
        for labels, times, values in zip(found.labels, found.times, found.values, strict=True)
    }
    table = found.to_arrow()
    assert table.num_rows == len(expected)
    assert sum(map(len, table["values"].to_pylist())) == sum(map(len, expected.values()))


def test_an_answer_is_a_table_without_gaps(told: Told) -> None:
    answer = evaluate(
        told.client, Query(Select("cpu", where=label("mode", "user")), BEGIN, END, 60)
    )

    table = answer.to_arrow()

    assert table.num_rows == len(answer.labels) == 4
    assert dict(table["labels"][0].as_py())["mode"] == "user"
    values = table["values"].combine_chunks().flatten().to_numpy()
    assert len(values) == (~np.isnan(answer.values)).sum() < answer.values.size
    assert len(table["times"][0].as_py()) == len(table["values"][0].as_py())


@pytest.mark.parametrize(
    ("of", "step", "error", "words"),
    [
        (Select("nobody sent this"), 60, NotFound, "no metric 'nobody sent this'"),
        (Select("cpu", Over.RATE), 60, BadMessage, "cpu is no counter"),
        (Select("cpu", where=Label("mode", "=~", "(")), 60, BadMessage, "not one of RE2"),
        (Select("cpu"), 0, BadMessage, "a step of 0 s"),
        (Select("cpu"), 0.1, TooLarge, "take a larger step"),
        (Select("cpu", window=59.999), 60, TooLarge, "divide each other"),
        (Select(("net", "reqs"), Over.RATE), 60, BadMessage, "ask for each, and add these"),
        (Binary("/", Select("cpu"), Select("cpu"), ("mode",)), 60, BadMessage, "several series"),
    ],
)
def test_what_makes_no_sense_is_said(
    told: Told, of: Expression, step: float, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words.replace("(", "\\(")):
        evaluate(told.client, Query(of, BEGIN, END, step))


def test_limits_of_series_and_values_hold(told: Told) -> None:
    asked = Query(Select("cpu"), BEGIN, END, 60)

    with pytest.raises(TooLarge, match="expected 2 or fewer"):
        evaluate(told.client, asked, limits=Limits(series=2))
    overlapping = Query(Select("cpu", Over.QUANTILE, window=120), BEGIN, END, 60)
    with pytest.raises(TooLarge, match="take a window as long as the step"):
        evaluate(told.client, overlapping, limits=Limits(quantiles=10))
    with pytest.raises(TooLarge, match="expected 100 values or fewer"):
        evaluate(told.client, asked, limits=Limits(values=100))


def test_a_range_before_1970_is_refused(told: Told) -> None:
    with pytest.raises(BadMessage, match="begins before 1970"):
        evaluate(told.client, Query(Select("cpu", window=86400), 3600, 7200, 3600))


def test_conditions_may_not_be_nested_without_an_end(told: Told) -> None:
    where: Filter = label("mode", "user")
    for _ in range(30):
        where = Not(where)

    with pytest.raises(BadMessage, match="nested deeper than 20"):
        evaluate(told.client, Query(Select("cpu", where=where), BEGIN, END, 60))


def test_what_was_asked_is_told(told: Told) -> None:
    answer = evaluate(told.client, Query(Select("cpu"), NOON - 3600, NOON, 3600))

    assert [("data_buckets_1h" in one.sql, one.rows > 0) for one in answer.asked] == [(True, True)]


@pytest.mark.parametrize("few", [0, 600])
def test_blocks_whose_times_have_expired_are_a_gap(engine_url: str, few: int) -> None:
    """Both expire by themselves, whole parts at a time."""
    client = connect(engine_url, database=f"novacron_{uuid4().hex}")
    migrate(client)
    line = Line("cpu", "vm-1", [(NOON - 7200 + 15 * n, n) for n in range(400)])
    write(client, batch([line]), "all", at(NOON))
    Roller(client, settle_s=0, kept_s=0).run(at(NOON + 480))
    client.command("TRUNCATE TABLE data_times")

    asked = Query(Select("cpu"), NOON - 3600, NOON - 600, 60)
    assert evaluate(client, asked, limits=Limits(few=few)).labels == []
    assert samples(client, ("cpu",), NOON - 7200, NOON).labels == []

    client.command(f"DROP DATABASE {client.database}", use_database=False)
    client.close()


def test_of_very_many_samples_sql_makes_the_slots(engine_url: str) -> None:
    """A million and more of one series in an hour are not brought into this process."""
    client = connect(engine_url, database=f"novacron_{uuid4().hex}")
    migrate(client)
    write(client, batch([Line("cpu", "vm-1", [(NOON - 3600 + n, 1) for n in range(10)])]), "few",
          at(NOON))  # fmt: skip
    series = client.command("SELECT series FROM data_series")
    client.command(
        "INSERT INTO data_arrivals (entity, ts, metrics, ids, starts, numbers) "
        f"SELECT 'vm-1', fromUnixTimestamp64Milli({NOON - 1800}000 + number, 'UTC'), ['cpu'], "
        f"[{series}], [fromUnixTimestamp64Milli({NOON - 3600}000, 'UTC')], [2] "
        "FROM numbers(1200000)"
    )

    answer = evaluate(client, Query(Select("cpu", Over.COUNT), NOON, NOON, 3600))

    assert answer.values.tolist() == [[1_200_010]]
    assert "groupArrayArray" in answer.asked[-1].sql
    client.command(f"DROP DATABASE {client.database}", use_database=False)
    client.close()
