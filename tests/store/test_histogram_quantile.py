"""Quantiles of histograms, of any series together, are what a slow calculation says."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise
from uuid import uuid4

import numpy as np
import pytest
from clickhouse_connect.driver.client import Client
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from noon import NOON
from novacron_contract.errors import BadMessage, TooLarge
from novacron_store.telemetry.builder import (
    Aggregate,
    All,
    Binary,
    Expression,
    Filter,
    HistogramQuantile,
    How,
    Label,
    Limits,
    Query,
    Resolution,
    Scalar,
    Select,
    Smooth,
    evaluate,
    label,
)
from novacron_store.telemetry.builder.exponential import MAX_BUCKETS
from novacron_store.telemetry.client import connect
from novacron_store.telemetry.migrations import migrate
from novacron_store.telemetry.writer import write
from store.batches import Line, at
from store.batches import batch as batch_of_lines
from store.histograms_oracle import Histogram, Told, batch, explicit, exponential

BEGIN, END = NOON - 1800, NOON + 1800
LAYOUTS: tuple[tuple[float, ...], ...] = (
    (0.1, 0.5, 1.0, 5.0),
    (0.1, 0.2, 0.5, 1.0, 2.0, 5.0),
    (-1.0, 0.5, 5.0, 50.0),
    (7.0,),
)
METRICS = ("same", "mixed", "deltas", "growing", "growing deltas")


def _series(random: np.random.Generator, metric: str, entity: str, route: str) -> Histogram:
    """With gaps, restarts, samples in which nothing was measured, and times on borders."""
    delta, grows = metric.endswith("deltas"), metric.startswith("growing")
    times = np.arange(BEGIN, END, int(random.choice([15, 20, 60])), dtype=float)
    times += 0 if random.random() < 0.5 else 0.123
    times = times[random.random(len(times)) > 0.1]
    hole = BEGIN + random.random() * (END - BEGIN)
    times = times[(times < hole) | (times > hole + float(random.choice([0, 400, 1200])))]
    told: list[Told] = []
    since = 0.0 if random.random() < 0.7 else float(times[0]) - 5
    timeless = delta and entity == "vm-0"  # says of no sample when it began
    values: list[float] = []
    scale, bounds = int(random.integers(0, 3)), LAYOUTS[0]
    zero = float(random.choice([0, 0, 0.25, 0.3]))
    for time in times.tolist():
        if random.random() < 0.03 or delta:
            since, values = 0.0 if timeless else time - 5, []
            if metric in ("mixed", "deltas"):
                bounds = LAYOUTS[int(random.choice([0, 1, 1, 2, 3]))]
        more = _measured(random, grows)
        if more and random.random() < 0.1:
            scale -= 1 if scale > -2 else -3 if not values else 0
        values = [*values, *more]
        told.append(Told(time, since, values, () if grows else bounds, scale, zero))
    return Histogram(metric, entity, told, delta, grows, {"route": route})


def _measured(random: np.random.Generator, signed: bool) -> list[float]:
    count = int(random.choice([0, 0, 1, 3, 10]))
    values = np.exp(random.normal(0, 1.5, count)) * float(random.choice([0.3, 1]))
    if signed:
        values *= random.choice([1, 1, -1, 0], count)
    return [float(value) for value in values]


class Stored:
    """A store with histograms, and the same histograms."""

    def __init__(self, client: Client, series: list[Histogram]) -> None:
        self.client, self.series = client, series


@pytest.fixture(scope="module")
def client(engine_url: str) -> Iterator[Client]:
    client = connect(engine_url, database=f"novacron_{uuid4().hex}")
    migrate(client)
    yield client
    client.command(f"DROP DATABASE {client.database}", use_database=False)
    client.close()


@pytest.fixture(scope="module")
def stored(client: Client) -> Stored:
    """Some samples came late, some twice."""
    random = np.random.default_rng(8)
    every = [
        _series(random, metric, f"vm-{n}", route)
        for metric in METRICS for n in range(3) for route in ("/a", "/b")
    ]  # fmt: skip
    late = [random.random(len(one.told)) < 0.2 for one in every]
    for name, when in (("soon", False), ("late", True)):
        some = [
            one.of([told for told, is_late in zip(one.told, mine, strict=True) if is_late == when])
            for one, mine in zip(every, late, strict=True)
        ]
        write(client, batch(some), name, at(END))
    write(client, batch([one.of(one.told[::5]) for one in every]), "twice", at(END))
    return Stored(client, every)


def asked(client: Client, of: Expression, start: float, step: float, points: int) -> dict[
    frozenset[tuple[str, str]], dict[int, float]
]:  # fmt: skip
    answer = evaluate(client, Query(of, start, start + step * (points - 1), step))
    assert answer.resolution is Resolution.RAW
    return {
        frozenset(labels.items()): {
            n: float(value) for n, value in enumerate(row) if not math.isnan(value)
        }
        for labels, row in zip(answer.labels, answer.values, strict=True)
    }


WHERE: list[tuple[Filter, set[str], set[str]]] = [
    (All(()), {"vm-0", "vm-1", "vm-2"}, {"/a", "/b"}),
    (label("route", "/a"), {"vm-0", "vm-1", "vm-2"}, {"/a"}),
    (label("entity", "vm-1"), {"vm-1"}, {"/a", "/b"}),
    (Label("entity", "!=", "vm-1"), {"vm-0", "vm-2"}, {"/a", "/b"}),
    (All((Label("entity", "=~", "vm-[12]"), label("route", "/b"))), {"vm-1", "vm-2"}, {"/b"}),
]


@pytest.mark.timeout(600)
@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(metric=st.sampled_from(METRICS), share=st.sampled_from([0, 0.1, 0.5, 0.95, 1]),
       by=st.sampled_from([(), ("entity",), ("route",), ("route", "entity"), ("nobody",)]),
       where=st.sampled_from(WHERE), window=st.sampled_from([None, 60, 90, 300, 1800]),
       offset=st.sampled_from([0, 0, 60, -60]), step=st.sampled_from([15, 60, 300]),
       first=st.integers(-8, 8), points=st.integers(1, 12),
       shift=st.sampled_from([0, 7]))  # fmt: skip
def test_it_equals_what_is_worked_out_slowly(
    stored: Stored, metric: str, share: float, by: tuple[str, ...],
    where: tuple[Filter, set[str], set[str]], window: float | None, offset: float, step: int,
    first: int, points: int, shift: int,
) -> None:  # fmt: skip
    condition, entities, routes = where
    start = NOON + first * 240 + shift
    of = HistogramQuantile(metric, share, condition, by, window, offset)

    found = asked(stored.client, of, start, step, points)

    expected: dict[frozenset[tuple[str, str]], dict[int, float]] = {}
    groups: dict[frozenset[tuple[str, str]], list[Histogram]] = {}
    for one in stored.series:
        if one.metric == metric and one.entity in entities and one.attributes["route"] in routes:
            labels = {"entity": one.entity, **one.attributes}
            name = frozenset((n, labels[n]) for n in by if n in labels)
            groups.setdefault(name, []).append(one)
    for name, members in groups.items():
        steps = [of_one for one in members for of_one in one.steps()]
        for point in range(points):
            end = start + step * point - offset
            inside = [s for s in steps if end - (window or step) <= s[0].time < end]
            value = (exponential if members[0].exponential else explicit)(inside, share)
            if value is not None:
                expected.setdefault(name, {})[point] = value
    assert found.keys() == expected.keys()
    for name, row in expected.items():
        assert found[name] == pytest.approx(row, rel=1e-9, abs=1e-9), dict(name)


def test_it_is_an_expression_like_any_other(stored: Stored) -> None:
    def row(of: Expression) -> list[float]:
        query = Query(of, NOON - 900, NOON, 300)
        (values,) = evaluate(stored.client, query).values.tolist()
        return [float(value) for value in values]

    routes = HistogramQuantile("same", 0.9, by=("route",))
    a, b = (row(HistogramQuantile("same", 0.9, label("route", name))) for name in ("/a", "/b"))
    pairs = list(zip(a, b, strict=True))

    assert row(Aggregate(How.MAX, routes)) == [max(pair) for pair in pairs]
    assert row(Binary("*", HistogramQuantile("same", 0.9, label("route", "/a")), Scalar(1000))) == [
        1000 * value for value in a
    ]
    apart = Binary("-", routes, HistogramQuantile("same", 0.9, by=("route",), offset=300), ())
    with pytest.raises(BadMessage, match="several series"):
        row(apart)
    smooth = row(Smooth(HistogramQuantile("same", 0.9, label("route", "/a")), 2))
    assert smooth[1:] == pytest.approx([(x + y) / 2 for x, y in pairwise(a)])


def test_several_metrics_are_told_apart_by_the_label_metric(stored: Stored) -> None:
    both = HistogramQuantile(("same", "growing"), 0.5, by=("metric",))

    found = asked(stored.client, both, NOON, 300, 3)

    for metric in ("same", "growing"):
        alone = asked(stored.client, HistogramQuantile(metric, 0.5), NOON, 300, 3)
        assert found[frozenset({("metric", metric)})] == alone[frozenset()]


def _kept(client: Client, *told: Told, exponential: bool = False) -> str:
    """The metric of a series with these samples."""
    metric = f"h{uuid4().hex}"
    write(client, batch([Histogram(metric, "e", told, exponential=exponential)]), metric, at(END))
    return metric


def _row(
    client: Client, metric: str, share: float = 0.5, window: float | None = None
) -> dict[int, float]:
    of = HistogramQuantile(metric, share, window=window)
    return asked(client, of, NOON, 60, 10).get(frozenset(), {})


def test_the_sample_before_is_looked_for_an_hour_or_a_window_back(client: Client) -> None:
    few, more = [0.3] * 10, [0.3] * 10 + [3.0] * 10
    near = _kept(client, Told(NOON - 3600, 0, few, LAYOUTS[0]), Told(NOON, 0, more, LAYOUTS[0]))
    far = _kept(client, Told(NOON - 7000, 0, few, LAYOUTS[0]), Told(NOON, 0, more, LAYOUTS[0]))

    assert _row(client, near) == {1: 3.0}
    assert _row(client, far) == {}
    assert _row(client, far, window=7200) == dict.fromkeys(range(1, 10), 3.0)


def test_the_end_of_a_series_is_no_restart(client: Client) -> None:
    few, more = [0.3] * 10, [0.3] * 10 + [3.0] * 10
    for exponential_ in (False, True):
        bounds = () if exponential_ else LAYOUTS[0]
        metric = _kept(
            client, Told(NOON, 0, few, bounds), Told(NOON + 30, 0, [], bounds, ended=True),
            Told(NOON + 60, 0, more, bounds), exponential=exponential_,
        )  # fmt: skip

        assert _row(client, metric) == {2: pytest.approx(2**1.5) if exponential_ else 3.0}


def test_a_restart_is_seen_by_any_bucket_that_holds_less(client: Client) -> None:
    """Where senders do not say when they began."""
    plain = _kept(
        client, Told(NOON, 0, [0.3] * 10, LAYOUTS[0]), Told(NOON + 60, 0, [3.0] * 20, LAYOUTS[0])
    )
    grown = _kept(
        client, Told(NOON, 0, [0.3] * 10), Told(NOON + 60, 0, [3.0] * 20), exponential=True
    )

    assert _row(client, plain) == {2: 3.0}
    assert _row(client, grown) == {2: pytest.approx(2**1.5)}


def test_bounds_that_have_nothing_in_common_are_a_gap(client: Client) -> None:
    metric = _kept(
        client, Told(NOON, NOON - 5, [0.3], (1.0,)), Told(NOON + 1, NOON + 0.5, [0.3], (2.0,)),
        Told(NOON + 61, NOON + 60, [0.3], (2.0,)),
    )  # fmt: skip

    assert _row(client, metric) == {2: 1.0}


def test_buckets_become_wider_where_there_are_too_many(client: Client) -> None:
    values = [1 + n / 1000 for n in range(1000)]
    metric = _kept(client, Told(NOON, NOON - 5, values, scale=10), exponential=True)

    (found,) = _row(client, metric, 0.5).values()

    width = 2 ** (1 / (MAX_BUCKETS / 2))
    assert 1.5 / width <= found <= 1.5 * width


@pytest.mark.parametrize("scale", [-(2**31), -12, 40, 2**31 - 1])
@pytest.mark.parametrize("offset", [-(2**31), 0, 2**31 - 3])
def test_whatever_senders_say_of_scales_and_zeros_is_answered_by_numbers(
    client: Client, scale: int, offset: int
) -> None:
    """Beside a series whose scale is another one."""
    told = Told(NOON, NOON - 5, [2.0, -3.0], scale=0)
    metric = _kept(client, told, exponential=True)
    for series, zero in ((1, "nan"), (2, "1e308"), (3, "1e-308"), (4, "-1")):
        client.command(
            f"INSERT INTO data_exponential_histograms SELECT * REPLACE({series} AS series, "
            f"{scale} AS scale, {offset} AS positive_offset, {offset} AS negative_offset, "
            f"{zero} AS zero_threshold, [1, 0, 3] AS positive_buckets) "
            f"FROM data_exponential_histograms WHERE metric = '{metric}' AND series > 4"
        )

        (found,) = _row(client, metric, series / 4).values()
        assert math.isfinite(found)


def test_histograms_of_both_kinds_are_told_apart(client: Client) -> None:
    metric = f"h{uuid4().hex}"
    plain = Histogram(metric, "plain", [Told(NOON, NOON - 5, [0.3], LAYOUTS[0])])
    grown = Histogram(metric, "grown", [Told(NOON, NOON - 5, [0.3])], exponential=True)
    write(client, batch([plain, grown]), metric, at(END))

    with pytest.raises(BadMessage, match="tell them apart by a label"):
        _row(client, metric)
    found = asked(client, HistogramQuantile(metric, 1, by=("entity",)), NOON, 60, 3)
    assert found == {
        frozenset({("entity", "plain")}): {1: 0.5}, frozenset({("entity", "grown")}): {1: 0.5}
    }  # fmt: skip


def test_what_is_asked_of_another_kind_is_said(stored: Stored) -> None:
    client = stored.client
    write(client, batch_of_lines([Line("cpu", "vm-0", [(NOON, 1.0)])]), "cpu", at(END))

    def ask(of: Expression, limits: Limits | None = None, step: float = 60) -> None:
        evaluate(client, Query(of, BEGIN, END, step), limits=limits)

    with pytest.raises(BadMessage, match="cpu is a gauge, no histogram"):
        ask(HistogramQuantile("cpu", 0.5))
    for metric in ("same", "growing"):
        with pytest.raises(BadMessage, match=f"{metric} is a histogram.*its histogram_quantile"):
            ask(Select(metric))
    with pytest.raises(BadMessage, match="a quantile of 95"):
        HistogramQuantile("same", 95)
    with pytest.raises(BadMessage, match="a window of 0 s"):
        HistogramQuantile("same", 0.5, window=0)


def test_limits_hold(stored: Stored) -> None:
    def ask(limits: Limits, resolution: Resolution | None = None) -> None:
        of = HistogramQuantile("same", 0.5, by=("entity",))
        evaluate(stored.client, Query(of, BEGIN, END, 60, resolution), limits=limits)

    with pytest.raises(TooLarge, match="6 series of same: expected 2 or fewer"):
        ask(Limits(series=2))
    with pytest.raises(TooLarge, match="expected 100 values or fewer"):
        ask(Limits(values=100))
    with pytest.raises(TooLarge, match="counts of histograms: expected 100 or fewer"):
        ask(Limits(counts=100))
    with pytest.raises(BadMessage, match="1h does not say the same as samples"):
        ask(Limits(), Resolution.HOUR)


def test_too_many_different_bounds_or_scales_are_refused(client: Client) -> None:
    bounds = [Told(NOON + n / 10, NOON - 5 + n / 10, [0.3], (1.0 + n,)) for n in range(101)]
    scales = [
        Told(NOON + n / 10, NOON - 5 + n / 10, [3.0], zero=0.1 + n / 1000) for n in range(101)
    ]

    for told, exponential_ in ((bounds, False), (scales, True)):
        metric = _kept(client, *told, exponential=exponential_)
        with pytest.raises(TooLarge, match="more than 100 different"):
            _row(client, metric)
