"""What came twice with different values: every door tells the smallest, wherever it is by now."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from uuid import uuid4

import pyarrow as pa
import pytest
from clickhouse_connect.driver.client import Client

from noon import NOON
from novacron_contract.errors import TooLarge
from novacron_store.telemetry.batch import Batch
from novacron_store.telemetry.builder import Index, Over, Query, Select, evaluate, samples
from novacron_store.telemetry.builder.evaluate import Limits
from novacron_store.telemetry.client import connect
from novacron_store.telemetry.export import Export, export
from novacron_store.telemetry.migrations import migrate
from novacron_store.telemetry.queries import (
    Aggregate,
    ChartQuery,
    chart,
    charts,
    fleet_now,
    latest,
    sparklines,
)
from novacron_store.telemetry.queries.services import figures
from novacron_store.telemetry.rollups import Roller
from novacron_store.telemetry.writer import write
from store.batches import Line, Samples, at, batch, counter

BEGIN, END = NOON - 600, NOON - 480
TIMES = [BEGIN + 10 * n for n in range(12)]
VM = {"vm-1": {"vm.id": "vm-1"}}
HEAT, NET = "vm.cpu.utilization", "vm.network.io"
# What was sent first, and what a sender that had restarted sent again: some of it is less, some
# more, some the same, and some a word that there is no value any more. The newest is among it.
HEATS = [1.0, -2.0, 3.5, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 1.0, 2.0, -3.0]
HEATS_AGAIN = {0: 0.5, 1: -1.0, 4: 5.0, 5: -6.5, 6: math.nan, 9: 11.0, 11: -3.5}
NETS = [1000.0 * n for n in range(12)]
NETS_AGAIN = {0: 10.0, 3: 2500.0, 4: 100.0, 5: 9000.0, 6: math.nan, 8: 8100.0, 11: 10_500.0}


def _smallest(values: Sequence[float], again: dict[int, float]) -> list[float]:
    every = [(value, again.get(n, math.nan)) for n, value in enumerate(values)]
    return [min(x for x in both if not math.isnan(x)) for both in every]


HEAT_TOLD, NET_TOLD = _smallest(HEATS, HEATS_AGAIN), _smallest(NETS, NETS_AGAIN)
STEPS = [now if now < before else now - before for before, now in pairwise(NET_TOLD)]
INCREASES = [sum(STEPS[:5]), sum(STEPS[5:])]
RATES = [INCREASES[0] / 50, INCREASES[1] / 60]


def _minutes(function: Callable[[Sequence[float]], float]) -> list[float]:
    return [function(HEAT_TOLD[:6]), function(HEAT_TOLD[6:])]


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _lines(heats: Samples, nets: Samples) -> Batch:
    received = {"network.io.direction": "receive"}
    return batch([Line(HEAT, "vm-1", heats), counter(NET, "vm-1", nets, **received)], VM)


def _first() -> Batch:
    zipped = (list(zip(TIMES, values, strict=True)) for values in (HEATS, NETS))
    return _lines(*zipped)


def _again() -> Batch:
    """Of a sender that has begun anew, which its samples tell."""
    found = _lines(*([(TIMES[n], x) for n, x in of.items()] for of in (HEATS_AGAIN, NETS_AGAIN)))
    table = found.tables["samples"]
    place = table.schema.get_field_index("start_ts")
    starts = pa.array([at(BEGIN + 5)] * table.num_rows).cast(table.schema.field(place).type)
    return Batch({**found.tables, "samples": table.set_column(place, "start_ts", starts)})


STAGES = ("arrived", "gathered", "late", "closed", "late for a closed hour")
ORDERS = {"": (_first, _again), "the other way round": (_again, _first)}


@pytest.fixture(scope="module", params=STAGES)
def stage(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module", params=ORDERS)
def told(engine_url: str, stage: str, request: pytest.FixtureRequest) -> Iterator[Client]:
    """A store that was sent both, in either order, at that stage of their way."""
    client = connect(engine_url, database=f"novacron_{uuid4().hex}")
    migrate(client)
    one, other = ORDERS[request.param]
    roller = Roller(client, lateness_s=0, settle_s=0)
    write(client, one(), "one", at(BEGIN))
    if "late" in stage:
        roller.run(at(NOON + 900 if "closed" in stage else NOON - 300))
    write(client, other(), "other", at(BEGIN))
    if stage != "arrived":
        roller.run(at(NOON + 900 if "closed" in stage else NOON - 300))
    assert bool(_count(client, "windows")) == (stage != "arrived")
    assert bool(_count(client, "blocks")) == ("closed" in stage)
    yield client
    client.command(f"DROP DATABASE {client.database}", use_database=False)
    client.close()


def _count(store: Client, table: str) -> int:
    return int(store.query(f"SELECT count() FROM data_{table}").result_rows[0][0])


@pytest.mark.parametrize("view", ["samples", "metrics_raw"])
@pytest.mark.parametrize(("metric", "values"), [(HEAT, HEAT_TOLD), (NET, NET_TOLD)])
def test_sql_shows_the_smallest(told: Client, view: str, metric: str, values: list[float]) -> None:
    asked = f"SELECT toUnixTimestamp(ts), value FROM {view} WHERE metric = '{metric}' ORDER BY ts"

    assert told.query(asked).result_rows == list(zip(TIMES, values, strict=True))
    assert told.query("SELECT count() FROM series_ends").result_rows == [(0,)]


def test_a_sample_has_the_start_that_was_sent_with_it(told: Client) -> None:
    asked = f"SELECT toUnixTimestamp(start_ts) FROM samples WHERE metric = '{HEAT}' ORDER BY ts"

    again = [n for n, x in HEATS_AGAIN.items() if x < HEATS[n]]
    assert [row[0] for row in told.query(asked).result_rows] == [
        BEGIN + 5 if n in again else 0 for n in range(12)
    ]


@pytest.mark.parametrize("few", [0, Limits().few], ids=["by SQL", "by NumPy"])
@pytest.mark.parametrize(
    ("metric", "over", "values"),
    [
        (HEAT, Over.AVG, _minutes(_mean)),
        (HEAT, Over.SUM, _minutes(sum)),
        (HEAT, Over.COUNT, [6, 6]),
        (HEAT, Over.MIN, _minutes(min)),
        (HEAT, Over.MAX, _minutes(max)),
        (HEAT, Over.FIRST, [HEAT_TOLD[0], HEAT_TOLD[6]]),
        (HEAT, Over.LAST, [HEAT_TOLD[5], HEAT_TOLD[11]]),
        (HEAT, Over.QUANTILE, _minutes(lambda of: _mean(sorted(of)[2:4]))),
        (NET, Over.INCREASE, INCREASES),
    ],
)
def test_questions_are_answered_from_the_smallest(
    told: Client, metric: str, over: Over, values: list[float], few: int
) -> None:
    asked = Query(Select(metric, over, argument=0.5), BEGIN + 60, END, 60)

    answer = evaluate(told, asked, Index(), Limits(few=few))

    (line,) = answer.values
    assert line.tolist() == pytest.approx(values)


@pytest.fixture(params=["by SQL", "by NumPy"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """How charts are made: of very many samples by SQL."""

    def too_many(*_: object) -> None:
        raise TooLarge("many")

    if request.param == "by SQL":
        monkeypatch.setattr(charts, "lines", too_many)
    return str(request.param)


@pytest.mark.parametrize(
    ("aggregate", "function"),
    [(Aggregate.AVG, _mean), (Aggregate.MIN, min), (Aggregate.MAX, max)],
)
@pytest.mark.usefixtures("way")
def test_charts_draw_the_smallest(
    told: Client, aggregate: Aggregate, function: Callable[[Sequence[float]], float]
) -> None:
    drawn = chart(told, ChartQuery(HEAT, "vm-1", at(BEGIN), at(END - 1), 2, aggregate=aggregate))

    assert [line.values for line in drawn.lines] == [pytest.approx(_minutes(function))]


@pytest.mark.usefixtures("way")
def test_rates_step_from_the_smallest_to_the_smallest(told: Client) -> None:
    drawn = chart(told, ChartQuery(NET, "vm-1", at(BEGIN), at(END - 1), 2))

    assert [line.values for line in drawn.lines] == [pytest.approx(RATES)]


def test_sparklines_draw_the_smallest(told: Client) -> None:
    heat, net = (sparklines(told, name, at(BEGIN), at(END - 1), 2) for name in (HEAT, NET))

    assert heat == {"vm-1": pytest.approx(_minutes(_mean))}
    assert net == {"vm-1": pytest.approx(RATES)}


def test_tables_have_the_smallest(told: Client) -> None:
    raw = export(told, Export((HEAT, NET), BEGIN, END, None))
    windows = export(told, Export((HEAT, NET), BEGIN, END, 60))

    assert raw["value"].to_pylist() == HEAT_TOLD + NET_TOLD
    rates = [grown / 60 for grown in INCREASES]
    assert windows["value"].to_pylist() == pytest.approx(_minutes(_mean) + rates)
    assert windows["count"].to_pylist() == [6] * 4
    assert [of.tolist() for of in samples(told, (HEAT,), BEGIN, END).values] == [HEAT_TOLD]


def test_the_newest_value_is_the_smallest_of_its_time(told: Client) -> None:
    now = at(END)

    assert [value.value for value in latest(told, "vm-1", now)] == [HEAT_TOLD[-1], NET_TOLD[-1]]
    shown = {of.metric: of for of in figures(told, "vm-1", (HEAT, NET), now)}
    assert (shown[HEAT].value, shown[NET].value) == (HEAT_TOLD[-1], NET_TOLD[-1])
    assert shown[NET].rate == pytest.approx(sum(STEPS[-6:]) / 60)
    (row,) = fleet_now(told, now)
    assert row.cpu_utilization == HEAT_TOLD[-1]
    assert row.network_receive == pytest.approx(sum(STEPS[-6:]) / 60)


def test_buckets_are_made_of_the_smallest(told: Client, stage: str) -> None:
    if stage == "arrived":
        return  # there are none yet
    columns = "count, sum, min, max"

    expected = (12, pytest.approx(sum(HEAT_TOLD)), min(HEAT_TOLD), max(HEAT_TOLD))
    for view in ("metrics_5m", "metrics_1h") if "closed" in stage else ("metrics_5m",):
        rows = told.query(f"SELECT {columns} FROM {view} WHERE metric = '{HEAT}'").result_rows
        assert rows == [expected]
        asked = f"SELECT increase FROM {view} WHERE metric = '{NET}'"
        assert told.query(asked).result_rows == [(pytest.approx(sum(STEPS)),)]


@pytest.mark.parametrize("values", [(3.0, -4.0), (-4.0, 3.0)])
def test_the_view_of_now_shows_the_smallest(store: Client, values: tuple[float, float]) -> None:
    now = int(time.time())
    for n, value in enumerate(values):
        lines = [Line("heat", "vm-1", [(now - 20, -9.0), (now - 10, value)])]
        write(store, batch(lines, VM), f"{n}", at(now))

    assert store.query("SELECT value FROM metrics_now").result_rows == [(-4.0,)]
