"""Metrics as a table: what an analyst finds in it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import numpy as np
import pyarrow as pa
import pytest
from clickhouse_connect.driver.client import Client

from noon import NOON
from novacron_contract.errors import BadMessage, NotFound, TooLarge
from novacron_store.telemetry.builder import Index, Label, Over, label
from novacron_store.telemetry.client import connect
from novacron_store.telemetry.export import Export, export, exported
from novacron_store.telemetry.migrations import migrate
from novacron_store.telemetry.rollups import Roller
from novacron_store.telemetry.writer import write
from store.batches import Line, at, batch, counter

BEGIN, END = NOON - 3600, NOON + 600  # an hour that is closed, and what is not yet
TIMES = [float(t) for t in range(BEGIN, END, 20)]
GAP = (NOON - 1800, NOON - 900)
ODD = 'it\'s "odd" \u00e9\u202e\n,=;'
HOSTILE = {"time": "t", "value": "v", "entity": "e", "metric": "m", "count": "c", "unit": "u",
           "attribute.time": "at", 'na"me,\n': ODD, "place": "1", "team": "own"}  # fmt: skip
RESOURCES = {f"vm-{n}": {"vm.id": f"vm-{n}", "team": ("web", "db")[n % 2]} for n in range(3)}


def _wave(seconds: float) -> float:
    return round(50 + 40 * math.sin(seconds / 100), 3)


def _lines() -> list[Line]:
    busy = [(t, _wave(t)) for t in TIMES if not GAP[0] <= t < GAP[1]]
    grown = [(t, 1000.0 * n) for n, t in enumerate(TIMES)]
    seconds = [(t, 5.0 * n) for n, t in enumerate(TIMES)]
    events = [(t, 3.0) for t in TIMES]
    flat = [(t, 1.0) for t in TIMES]
    return [
        Line("cpu", "vm-0", busy, unit="%"),
        Line("cpu", "vm-1", [(t, 7.0) for t in TIMES[-5:]], unit="%"),
        counter("net", "vm-0", grown, direction="in"),
        counter("net", "vm-1", grown, direction="out", device="eth0"),
        Line("busy", "vm-0", seconds, "sum", "cumulative", True, unit="s"),
        Line("events", "vm-0", events, "sum", "delta", True, unit="{event}"),
        Line("queue", "vm-0", events, "sum", "cumulative", False, unit="{job}"),
        Line("latency", "vm-0", [(t, 250.0) for t in TIMES], unit="ms"),
        Line("latency", "vm-1", [(t, 0.25) for t in TIMES], unit="s"),
        Line("hostile", "vm-0", flat, attributes=HOSTILE),
        Line("hostile", "vm-0", [(t, 2.0) for t in TIMES[:10]], attributes={"entity": "f"}),
        Line("hostile", "vm-0", [(t, 3.0) for t in TIMES[-10:]], attributes={"entity": "g"}),
        Line("spread", "vm-0", [(t, v) for t, v in zip(TIMES, range(999), strict=False)]),
        Line("load", "vm-0", [(float(t), 0.1) for t in range(BEGIN, END, 60)], unit="Cel"),
        Line("durations", "vm-0", flat[:1], "histogram", "cumulative", unit="ms"),
    ]


@pytest.fixture(scope="module")
def client(engine_url: str) -> Iterator[Client]:
    client = connect(engine_url, database=f"novacron_{uuid4().hex}")
    migrate(client)
    write(client, batch(_lines(), RESOURCES), "one", at(END))
    Roller(client, settle_s=0, kept_s=0).run(at(NOON + 400))
    yield client
    client.command(f"DROP DATABASE {client.database}", use_database=False)
    client.close()


def table_of(client: Client, *metrics: str, step: float | None = 60, **more: Any) -> pa.Table:
    return export(client, Export(metrics, more.pop("start", BEGIN), END, step, **more))


def column(table: pa.Table, name: str) -> list[Any]:
    return table[name].to_pylist()  # type: ignore[no-any-return]


def test_every_series_has_a_row_for_each_time(client: Client) -> None:
    table = table_of(client, "cpu", "net")

    times = [at(t) for t in range(BEGIN + 60, END + 60, 60)]
    assert table.column_names == [
        "time", "metric", "entity", "device", "direction", "unit", "value", "count"
    ]  # fmt: skip
    assert column(table, "time") == 4 * times
    per_series = table.slice(0, table.num_rows).take(pa.array(range(0, 4 * len(times), len(times))))
    assert per_series.select(["metric", "entity", "device", "direction"]).to_pylist() == [
        {"metric": "cpu", "entity": "vm-0", "device": None, "direction": None},
        {"metric": "cpu", "entity": "vm-1", "device": None, "direction": None},
        {"metric": "net", "entity": "vm-0", "device": None, "direction": "in"},
        {"metric": "net", "entity": "vm-1", "device": "eth0", "direction": "out"},
    ]


def test_columns_have_the_types_that_are_promised(client: Client) -> None:
    texts = pa.dictionary(pa.int32(), pa.string())

    assert table_of(client, "net", tags=("team",)).schema == pa.schema([
        ("time", pa.timestamp("ms", "UTC")), ("metric", texts), ("entity", texts),
        ("device", texts), ("direction", texts), ("team", texts), ("unit", texts),
        ("value", pa.float64()), ("count", pa.uint32()),
    ])  # fmt: skip


@pytest.mark.parametrize("step", [60, 90, 300, 3600, 7.5])
@pytest.mark.parametrize(
    ("over", "slowly"),
    [
        (None, np.mean),
        (Over.MAX, np.max),
        (Over.STDDEV, np.std),
        (Over.LAST, lambda values: values[-1]),
        (Over.COUNT, len),
        (Over.QUANTILE, lambda values: np.quantile(values, 0.9)),
    ],
)
def test_values_are_what_is_worked_out_slowly_and_gaps_are_null(
    client: Client, step: float, over: Over | None, slowly: Any
) -> None:
    where, share = label("entity", "vm-0"), 0.9 if over is Over.QUANTILE else 0.5

    table = table_of(client, "cpu", step=step, over=over, where=where, share=share)

    factor = 1 if over is Over.COUNT else 0.01  # per cent become shares of 1
    (line,) = [ln for ln in _lines() if (ln.metric, ln.entity) == ("cpu", "vm-0")]
    assert table.num_rows == END // step - BEGIN // step
    for row in table.to_pylist():
        end = row["time"].timestamp()
        window = [value for t, value in line.samples if end - step <= t < end]
        assert row["count"] == len(window)
        if window:
            assert row["value"] == pytest.approx(slowly(window) * factor, rel=1e-9)
        else:
            assert row["value"] is None
    assert set(column(table, "unit")) == {"1"}


def test_a_gap_is_null_with_count_0(client: Client) -> None:
    table = table_of(client, "cpu", step=300, where=label("entity", "vm-0"))

    gaps = [row for row in table.to_pylist() if GAP[0] < row["time"].timestamp() <= GAP[1]]
    assert [(row["value"], row["count"]) for row in gaps] == [(None, 0)] * 3
    assert table["value"].null_count == 3


def test_counters_are_rates_by_second(client: Client) -> None:
    rows = table_of(client, "net", "busy", "events", step=300).to_pylist()

    told = {(r["metric"], r["unit"]): r["value"] for r in rows if r["time"] == at(NOON)}
    assert told == {
        ("net", "By/s"): pytest.approx(50),
        ("busy", "1"): pytest.approx(0.25),
        ("events", "{event}/s"): pytest.approx(3 / 20),
    }


def test_sums_that_may_fall_are_averages(client: Client) -> None:
    table = table_of(client, "queue", step=300)

    assert set(column(table, "unit")) == {"{job}"}
    assert set(column(table, "value")) == {3.0}


def test_a_function_can_be_asked_for(client: Client) -> None:
    table = table_of(client, "net", over=Over.INCREASE, step=300, start=NOON - 300)
    assert set(column(table, "unit")) == {"By"}
    assert set(column(table, "value")) == {15_000.0}

    table = table_of(client, "latency", over=Over.DERIVATIVE, step=300)
    assert set(column(table, "unit")) == {"1"}  # seconds by second
    assert set(column(table, "value")) == {0.0}


def test_senders_may_have_one_metric_in_different_units(client: Client) -> None:
    table = table_of(client, "latency")

    assert set(column(table, "unit")) == {"s"}
    assert set(column(table, "value")) == {0.25}
    assert set(column(table, "entity")) == {"vm-0", "vm-1"}


def test_units_that_have_a_zero_of_their_own_stay(client: Client) -> None:
    table = table_of(client, "load")

    assert set(zip(column(table, "unit"), column(table, "value"), strict=True)) == {("Cel", 0.1)}


def test_a_slope_of_one_sample_is_no_gap_of_samples(client: Client) -> None:
    table = table_of(client, "spread", over=Over.DERIVATIVE, step=20)
    assert table.num_rows == 0  # a value nowhere

    table = table_of(client, "cpu", over=Over.DERIVATIVE, step=30, where=label("entity", "vm-0"))
    assert {(row["value"] is None, row["count"]) for row in table.to_pylist()} == {
        (True, 0), (True, 1), (False, 2)
    }  # fmt: skip


def test_labels_of_the_resource_get_columns_on_request(client: Client) -> None:
    table = table_of(client, "net", "hostile", tags=("team", "nobody", "direction"))

    found = {
        (row["metric"], row["entity"], row["team"], row["nobody"]) for row in table.to_pylist()
    }
    assert found == {
        ("net", "vm-0", "web", None),
        ("net", "vm-1", "db", None),
        ("hostile", "vm-0", "own", None),  # an attribute hides a tag
        ("hostile", "vm-0", "web", None),
    }
    assert table.column_names.count("direction") == 1


def test_series_are_chosen_by_their_labels(client: Client) -> None:
    table = table_of(client, "net", where=Label("team", "=~", "w.*"))
    assert set(column(table, "entity")) == {"vm-0"}

    none = table_of(client, "net", where=label("team", "nobody"))
    assert (none.num_rows, none.column_names) == (
        0, ["time", "metric", "entity", "unit", "value", "count"]
    )  # fmt: skip


@pytest.mark.parametrize("step", [60, None])
def test_attributes_may_be_called_as_they_please(client: Client, step: float | None) -> None:
    table = table_of(client, "hostile", step=step, tags=("team",))

    assert len(set(table.column_names)) == len(table.column_names)
    rows = table.to_pylist()
    (first,) = {tuple(sorted((k, v) for k, v in row.items() if k not in ("time", "value", "count")))
                for row in rows if row["attribute.entity"] == "e"}  # fmt: skip
    assert dict(first) == {
        "metric": "hostile", "entity": "vm-0", "unit": "1", "team": "own", "place": "1",
        'na"me,\n': ODD, "attribute.time": "t", "attribute.value": "v", "attribute.entity": "e",
        "attribute.metric": "m", "attribute.count": "c", "attribute.unit": "u",
        "attribute.attribute.time": "at",
    }  # fmt: skip
    assert {(row["attribute.entity"], row["value"]) for row in rows if row["value"]} == {
        ("e", 1.0), ("f", 2.0), ("g", 3.0)
    }  # fmt: skip


def test_samples_come_as_they_were_sent_in_base_units(client: Client) -> None:
    table = table_of(client, "latency", "net", step=None, start=NOON - 100)

    assert table.column_names == [
        "time", "metric", "entity", "device", "direction", "unit", "value"
    ]  # fmt: skip
    times = [at(t) for t in TIMES if t >= NOON - 100]
    assert column(table, "time") == 4 * times
    values = column(table, "value")
    assert values[: 2 * len(times)] == [0.25] * 2 * len(times)
    last = [1000.0 * n for n, t in enumerate(TIMES) if t >= NOON - 100]
    assert values[2 * len(times) :] == last * 2
    assert set(column(table, "unit")) == {"s", "By"}


def test_tables_of_ranges_that_follow_one_another_do_not_overlap(client: Client) -> None:
    asked = [Export(("cpu",), s, e, 60) for s, e in ((BEGIN, NOON), (NOON, END), (BEGIN, END))]

    first, second, whole = (export(client, one) for one in asked)

    assert sorted(pa.concat_tables([first, second]).to_pylist(), key=repr) == sorted(
        [row for row in whole.to_pylist()
         if row["entity"] == "vm-0" or row["time"].timestamp() > NOON], key=repr
    )  # fmt: skip


def test_a_range_that_ends_between_two_times_has_whole_windows_alone(client: Client) -> None:
    table = export(client, Export(("net",), NOON - 130, NOON - 1, 60))

    assert sorted(set(column(table, "time"))) == [at(NOON - 120), at(NOON - 60)]


def test_a_table_tells_what_it_is(client: Client) -> None:
    metadata = table_of(client, "cpu", over=Over.MAX, step=300).schema.metadata
    assert metadata == {
        b"novacron.from": f"{at(NOON):%Y-%m-%d}T11:00:00.000+00:00".encode(),
        b"novacron.to": f"{at(NOON):%Y-%m-%d}T12:10:00.000+00:00".encode(),
        b"novacron.step_s": b"300",
        b"novacron.over": b"max",
    }

    raw = table_of(client, "cpu", step=None).schema.metadata
    assert (raw[b"novacron.step_s"], raw[b"novacron.over"]) == (b"", b"samples as they were sent")


def test_a_large_table_comes_in_pieces(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = table_of(client, "cpu", "net")
    monkeypatch.setattr("novacron_store.telemetry.export._BATCH_ROWS", 150)

    pieces = list(exported(client, Export(("cpu", "net"), BEGIN, END, 60)).batches())

    assert [piece.num_rows for piece in pieces] == [140, 140]
    assert pa.Table.from_batches(pieces) == whole


def test_a_metric_named_twice_is_there_once(client: Client) -> None:
    assert table_of(client, "cpu", "cpu") == table_of(client, "cpu")


@pytest.mark.parametrize(
    ("asked", "error", "words"),
    [
        (Export((), BEGIN, END, 60), BadMessage, "0 metrics: expected 1 to 200"),
        (Export(("no.such",), BEGIN, END, 60), NotFound, "no metric 'no.such'"),
        (Export(("durations",), BEGIN, END, 60), BadMessage, "durations is a histogram"),
        (Export(("durations",), BEGIN, END, None), BadMessage, "expected a gauge or a sum"),
        (Export(("cpu",), BEGIN, END, 60, over=Over.RATE), BadMessage, "cpu is no counter"),
        (Export(("cpu",), BEGIN, END, None, over=Over.MAX), BadMessage, "max is of windows"),
        (Export(("cpu",), END, BEGIN, 60), BadMessage, "no window of 60 s ends in the range"),
        (Export(("cpu",), NOON, NOON + 59, 60), BadMessage, "take a smaller step"),
        (Export(("cpu",), END, BEGIN, None), BadMessage, "expected a range of 0.001 s"),
        (Export(("cpu",), BEGIN, END, 0), BadMessage, "a step of 0 s"),
        (Export(("cpu",), BEGIN, END, 0.1), TooLarge, "take a larger step"),
        (Export(("cpu",), BEGIN, END, 60, Label("x", "=~", "(")), BadMessage, "not one of RE2"),
        (Export(("cpu",), BEGIN, END, 60, over=Over.QUANTILE, share=2), BadMessage, "quantile"),
    ],
)
def test_what_makes_no_sense_is_said(
    client: Client, asked: Export, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        export(client, asked)


def test_a_table_has_so_many_rows_and_no_more(client: Client) -> None:
    index = Index()
    asked = Export(("cpu", "net"), BEGIN, END, 60)
    with pytest.raises(TooLarge, match="280 rows: 4 series of 70 times; expected 279 or fewer"):
        export(client, asked, index, max_rows=279)
    assert export(client, asked, index, max_rows=280).num_rows == 280

    raw = Export(("net",), BEGIN, END, None)
    with pytest.raises(TooLarge, match="more than 419 samples"):
        export(client, raw, index, max_rows=419)
    assert export(client, raw, index, max_rows=420).num_rows == 420
