"""Quantiles over time are those of what was measured, as far as buckets tell."""

from __future__ import annotations

import random
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from uuid import uuid4

import pyarrow as pa
import pytest
from clickhouse_connect.driver.client import Client
from hypothesis import example, given
from hypothesis import strategies as st

from novacron_contract.errors import NotFound
from novacron_store.telemetry.batch import SCHEMAS, Batch
from novacron_store.telemetry.queries import Chart, ChartQuery, quantiles
from novacron_store.telemetry.queries.quantiles import quantile
from novacron_store.telemetry.writer import write
from store.batches import at

BOUNDS = [0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0]
START = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1)
STEP_S = 10


@dataclass(frozen=True)
class Reported:
    """A sample: what had been measured since `since` seconds after START, at `after` seconds."""

    after: float
    values: Sequence[float]
    since: float = -3600
    series: int = 1


def counted(values: Iterable[float]) -> list[int]:
    buckets = [0] * (len(BOUNDS) + 1)
    for value in values:
        buckets[bisect_left(BOUNDS, value)] += 1
    return buckets


def stored(store: Client, samples: Sequence[Reported], temporality: str = "cumulative") -> str:
    """The metric's name."""
    metric = f"h{uuid4().hex}"
    rows = [_sample(metric, one) for one in samples]
    described = [_series(metric, temporality, n) for n in {one.series for one in samples}]
    known: dict[str, object] = {"metric": metric, "kind": "histogram", "temporality": temporality}
    known |= {"monotonic": False, "unit": "s", "description": "", "seen": START}
    tables = {
        "histograms": _table("histograms", rows),
        "series": _table("series", described),
        "metrics": _table("metrics", [known]),
    }
    write(store, Batch(tables), metric)
    return metric


def _sample(metric: str, one: Reported) -> dict[str, object]:
    began = START.timestamp()
    key = {"metric": metric, "entity": "e", "series": one.series}
    times = {"ts": at(began + one.after), "start_ts": at(began + one.since)}
    found = {"count": len(one.values), "sum": sum(one.values), "min": None, "max": None}
    return {
        **(key | times | found),
        "bounds": BOUNDS,
        "buckets": counted(one.values),
        "no_value": False,
    }


def _series(metric: str, temporality: str, series: int) -> dict[str, object]:
    key = {"metric": metric, "entity": "e", "series": series, "kind": "histogram"}
    rest = {"temporality": temporality, "monotonic": False, "unit": "s", "scope": ""}
    labels = {"attributes": [("n", str(series))], "attribute_types": [], "first_seen": START}
    return {**key, **rest, **labels}


def _table(name: str, rows: list[dict[str, object]]) -> pa.Table:
    schema = SCHEMAS[name]
    plain = {
        f.name: f.type.value_type if pa.types.is_dictionary(f.type) else f.type for f in schema
    }
    columns = {c: pa.array([row[c] for row in rows], kind) for c, kind in plain.items()}
    return pa.table(columns).cast(schema)


def drawn(store: Client, metric: str, *wanted: float, points: int = 600) -> Chart:
    end = START + timedelta(minutes=30)
    return quantiles(store, ChartQuery(metric, "e", START, end, points), wanted or (0.5,))


def within_its_bucket(found: float, exact: float) -> bool:
    place = bisect_left(BOUNDS, exact)
    low = BOUNDS[place - 1] if place else 0.0
    return low <= found <= (BOUNDS[place] if place < len(BOUNDS) else BOUNDS[-1])


def test_each_step_shows_what_was_measured_in_it_alone(store: Client) -> None:
    random.seed(7)
    each = [[random.uniform(0, 9 if n % 2 else 1) for _ in range(200)] for n in range(6)]
    sums = list(accumulate(each))
    metric = stored(store, [Reported(STEP_S * n, values) for n, values in enumerate(sums)])

    chart = drawn(store, metric, 0.5, 0.95)

    assert (chart.kind, chart.unit, chart.resolution) == ("histogram", "s", "raw")
    assert [line.attributes["quantile"] for line in chart.lines] == ["0.5", "0.95"]
    for line, share in zip(chart.lines, (0.5, 0.95), strict=True):
        assert len(line.values) == 5, "the first sample says nothing of when"
        for found, values in zip(line.values, each[1:], strict=True):
            assert found is not None
            assert within_its_bucket(found, sorted(values)[int(share * len(values))])


def test_a_restart_counts_from_nothing(store: Client) -> None:
    before = Reported(0, [0.15] * 100)
    after = Reported(10, [4.0] * 200, since=5)
    metric = stored(store, [before, after, Reported(20, [4.0] * 210, since=5)])

    (line,) = drawn(store, metric).lines

    assert [round(value or 0, 2) for value in line.values] == [3.5, 3.5]


def test_a_process_that_began_in_the_range_counts_from_its_first_sample_on(store: Client) -> None:
    metric = stored(store, [Reported(10, [4.0] * 10, since=5)])
    assert drawn(store, metric).lines[0].values == [3.5]


def test_several_series_and_several_samples_of_a_step_are_one_distribution(store: Client) -> None:
    fast = [Reported(60 + n, [0.15] * 90 * n, series=1) for n in range(20)]
    slow = [Reported(60 + n, [4.0] * 10 * n, series=2) for n in range(20)]
    metric = stored(store, [*fast, *slow])

    chart = drawn(store, metric, 0.5, 0.95, points=60)

    assert [{round(v or 0, 2) for v in line.values} for line in chart.lines] == [{0.16}, {3.5}]
    assert len(chart.lines[0].values) <= 2


def test_delta_histograms_are_what_they_say(store: Client) -> None:
    samples = [Reported(10, [0.15] * 4), Reported(20, [4.0] * 2)]
    metric = stored(store, samples, "delta")
    assert [round(v or 0, 2) for v in drawn(store, metric).lines[0].values] == [0.15, 3.5]


def test_silence_is_a_gap_and_nothing_measured_is_no_point(store: Client) -> None:
    times = [0, 10, 20, 30, 200, 210]
    same = [Reported(t, [0.15] * (n + 1)) for n, t in enumerate(times)]
    metric = stored(store, [*same, Reported(220, [0.15] * len(times))])

    (line,) = drawn(store, metric).lines

    assert [value is None for value in line.values] == [False] * 3 + [True] + [False] * 2


def test_a_histogram_that_nobody_sent_is_not_found(store: Client) -> None:
    with pytest.raises(NotFound):
        drawn(store, "nobody.sent.this")


@example([0.0, 0.0, 0.0, 1.0, 1.0, 1.0], 0.5)
@given(
    st.lists(st.floats(0, 12), min_size=1, max_size=60), st.sampled_from([0.0, 0.5, 0.9, 0.95, 1.0])
)
def test_a_quantile_is_in_the_bucket_of_the_exact_one(values: list[float], share: float) -> None:
    ordered = sorted(values)
    exact = ordered[max(0, -int(-share * len(ordered) // 1) - 1)]
    assert within_its_bucket(quantile(BOUNDS, counted(values), share), exact)
