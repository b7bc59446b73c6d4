"""What was written is there: once, after a crash, and under the VM's one identity."""

from __future__ import annotations

import math
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from clickhouse_connect.driver.client import Client

from noon import NOON
from novacron_contract.errors import ConfigError, NotFound, Unavailable
from novacron_store.telemetry.batch import SCHEMAS, Batch
from novacron_store.telemetry.client import connect
from novacron_store.telemetry.rollups import Roller
from novacron_store.telemetry.schema import ARRIVALS, ROLLED
from novacron_store.telemetry.writer import write
from store.batches import Line, at, batch, counter


def test_a_batch_with_the_same_token_is_stored_once(store: Client) -> None:
    line = Line("heat", "svc", [(NOON + n, float(n)) for n in range(10)])

    for _ in range(3):
        write(store, batch([line]), "one", at(NOON))

    assert store.command("SELECT sum(length(numbers)) FROM data_arrivals") == 10


def test_a_sample_that_came_twice_is_seen_once(store: Client) -> None:
    line = Line("heat", "svc", [(NOON, 1.0), (NOON + 10, 2.0)])
    write(store, batch([line]), "by one collector", at(NOON))
    write(store, batch([line]), "by another one", at(NOON))

    for view in ("samples", "metrics_raw"):
        assert store.query(f"SELECT count(), sum(value) FROM {view}").result_rows == [(2, 3)]


def test_samples_are_there_once_while_they_are_rolled_up_and_afterwards(store: Client) -> None:
    lines = [Line(name, "svc", [(NOON + n, 1.0) for n in range(900)]) for name in ("a", "b")]
    write(store, batch(lines), "first", at(NOON))
    write(store, batch(lines), "again", at(NOON))

    for minutes in range(5, 25, 5):
        Roller(store, lateness_s=0).run(at(NOON + 60 * minutes))
        write(store, batch(lines), f"late by {minutes}", at(NOON))
        assert store.query("SELECT count(), uniq(series, ts) FROM samples").result_rows == [
            (1800, 1800)
        ]


def test_what_is_rolled_up_while_it_is_written_is_not_lost(store: Client) -> None:
    """The writer asked which windows are open; before it stores its samples one is closed."""
    roller = Roller(store, lateness_s=0, settle_s=0)
    early = Line("heat", "svc", [(NOON, 1.0)])
    write(store, batch([early, Line("later", "svc", [(NOON + 3600, 1.0)])]), "one", at(NOON))
    meanwhile = _Meanwhile(store, ARRIVALS, lambda: roller.run(at(NOON + 300)))

    write(meanwhile, batch([Line("heat", "svc", [(NOON + 10, 2.0)])]), "two", at(NOON))  # type: ignore[arg-type]
    roller.run(at(NOON + 3600))

    heat = "FROM samples WHERE metric = 'heat'"
    assert store.query(f"SELECT count(), sum(value) {heat}").result_rows == [(2, 3)]
    assert store.query("SELECT count, sum FROM metrics_5m").result_rows == [(2, 3)]


def test_what_comes_late_in_an_open_hour_counts_at_once(store: Client) -> None:
    roller = Roller(store, lateness_s=0, settle_s=60)
    lines = [Line("heat", "svc", [(NOON + 300 * n, 1.0)]) for n in range(3)]
    write(store, batch(lines), "one", at(NOON))
    roller.run(at(NOON + 900))

    for late in (1, 2):  # the second time by the same mark for two windows
        write(
            store,
            batch([Line("heat", "svc", [(NOON + 300 * n + late, 2.0) for n in range(late)])]),
            f"late {late}",
            at(NOON + 900),
        )
        roller.run(at(NOON + 930))

    assert store.query("SELECT count(), sum(value) FROM samples").result_rows == [(6, 9)]
    assert store.query("SELECT sum(count) FROM metrics_5m").result_rows == [(6,)]


def test_what_comes_late_of_a_closed_hour_counts_when_no_more_comes(store: Client) -> None:
    roller = Roller(store, lateness_s=0, settle_s=60, kept_s=0)
    every = [(NOON + 10 * n, float(n)) for n in range(500)]
    machines = ("vm-1", "vm-2", "vm-3")
    late = [sample for n, sample in enumerate(every) if n % 7 == 0]
    soon = [sample for sample in every if sample not in late]
    for name in machines:
        write(store, batch([counter("m", name, soon), Line("g", name, soon)]), name, at(NOON))
    roller.run(at(NOON + 5400))
    hour = f"hour = toDateTime({NOON}, 'UTC')"
    assert store.query(f"SELECT uniq(version) FROM data_blocks WHERE {hour}").result_rows == [(1,)]

    write(store, batch([counter("m", "vm-2", late)]), "late", at(NOON + 5400))
    roller.run(at(NOON + 5430))
    count = "SELECT metric, entity, count(), sum(value) FROM samples GROUP BY ALL ORDER BY ALL"
    assert len(soon) in {row[2] for row in store.query(count).result_rows[3:]}
    roller.run(at(NOON + 5490))

    total = sum(value for _, value in soon)
    expected = [(m, name, len(soon), total) for m in ("g", "m") for name in machines]
    expected[4] = ("m", "vm-2", 500, sum(value for _, value in every))
    assert store.query(count).result_rows == expected
    grown = (
        "SELECT entity, sum(increase), sum(count) FROM %s WHERE metric = 'm' AND entity = 'vm-2'"
    )
    assert store.query(f"{grown % 'metrics_5m'} GROUP BY entity").result_rows == [
        ("vm-2", 499, 500)
    ]
    assert store.query(f"{grown % 'metrics_1h'} GROUP BY entity").result_rows == [
        ("vm-2", 359, 360)
    ]
    newer = f"SELECT DISTINCT entity FROM data_blocks WHERE {hour} AND version = 2"
    assert store.query(newer).result_rows == [("vm-2",)], "others were left alone"


def test_what_is_older_than_the_first_window_and_comes_as_it_is_looked_for_is_not_lost(
    store: Client,
) -> None:
    write(store, batch([Line("heat", "svc", [(NOON + 7200, 1.0)])]), "one", at(NOON))
    early = batch([Line("heat", "svc", [(NOON, 2.0)])])
    meanwhile = _Meanwhile(store, ROLLED, lambda: write(store, early, "two", at(NOON)))

    Roller(meanwhile, lateness_s=0).run(at(NOON + 7500))  # type: ignore[arg-type]
    Roller(store, lateness_s=0, settle_s=0).run(at(NOON + 7800))

    assert store.query("SELECT count(), sum(value) FROM samples").result_rows == [(2, 3)]
    assert store.query("SELECT sum(count), sum(sum) FROM metrics_5m").result_rows == [(2, 3)]


def test_arrivals_are_kept_no_longer_than_readers_need_them(store: Client) -> None:
    line = Line("heat", "svc", [(NOON + 60 * n, 1.0) for n in range(150)])
    write(store, batch([line]), "one", at(NOON))
    roller = Roller(store, lateness_s=0, kept_s=-3600)  # hours are over at once
    arrivals = "SELECT sum(length(numbers)) FROM data_arrivals"

    roller.run(at(NOON + 60 * 150))
    assert store.command(arrivals) == 150, "a reader may have a border of ten minutes ago"

    write(store, batch([Line("heat", "svc", [(NOON + 1, 1.0)])]), "late", at(NOON + 60 * 160))
    store.insert(ROLLED, [[300, at(NOON + 60 * 165)]], ["resolution", "upto"])
    roller.run(at(NOON + 60 * 160))
    assert store.command(arrivals) == 151, "what came late is not gathered yet"

    roller.run(at(NOON + 60 * 165))
    assert store.command(arrivals) == 0
    assert store.command("SELECT count() FROM samples") == 151


class _Meanwhile:
    """A client, and something that happens just before it first inserts into a table."""

    def __init__(self, client: Client, table: str, happens: Callable[[], object]) -> None:
        self._client = client
        self._table = table
        self._happens: Callable[[], object] | None = happens

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def insert_arrow(self, table: str, *arguments: Any, **settings: Any) -> Any:
        self._before(table)
        return self._client.insert_arrow(table, *arguments, **settings)

    def insert(self, table: str, *arguments: Any, **settings: Any) -> Any:
        self._before(table)
        return self._client.insert(table, *arguments, **settings)

    def _before(self, table: str) -> None:
        if table == self._table and self._happens is not None:
            happens, self._happens = self._happens, None
            happens()


def test_the_end_of_a_series_is_kept_and_is_no_sample(store: Client) -> None:
    line = Line("heat", "svc", [(NOON, 1.0), (NOON + 10, math.nan)])
    write(store, batch([line]), "one", at(NOON))

    assert store.query("SELECT count(), avg(value) FROM samples").result_rows == [(1, 1)]
    ends = store.query("SELECT toUnixTimestamp(ts) FROM series_ends").result_rows
    assert ends == [(NOON + 10,)]


def test_a_renamed_and_moved_vm_stays_one_series_with_its_history(store: Client) -> None:
    before = {"vm.id": "vm-1", "vm.name": "web", "vm.host.id": "kvm-1"}
    after = {"vm.id": "vm-1", "vm.name": "shop", "vm.host.id": "kvm-2"}
    for token, start, resource in (("a", NOON, before), ("b", NOON + 60, after)):
        samples = [(start + 10 * n, float(start + n)) for n in range(6)]
        write(store, batch([counter("vm.cpu.time", "vm-1", samples)], {"vm-1": resource}), token)

    series = store.query("SELECT uniqExact(series), count() FROM samples").result_rows
    assert series == [(1, 12)]
    assert store.query("SELECT DISTINCT name FROM metrics_raw").result_rows == [("shop",)]
    history = store.query(
        "SELECT resource['vm.name'], resource['vm.host.id'] FROM entity_history ORDER BY first_seen"
    ).result_rows
    assert history == [("web", "kvm-1"), ("shop", "kvm-2")]


def test_a_vm_that_moves_back_has_its_former_resource_again(store: Client) -> None:
    for n, host in enumerate(("kvm-1", "kvm-2", "kvm-1")):
        line = Line("heat", "vm-1", [(NOON + n, 1.0)])
        resource = {"vm.id": "vm-1", "vm.host.id": host}
        write(store, batch([line], {"vm-1": resource}), f"{n}", at(NOON))

    assert store.command("SELECT resource['vm.host.id'] FROM entities") == "kvm-1"
    assert store.command("SELECT count() FROM entity_history") == 2


def _point(name: str, **values: object) -> pa.Table:
    """One row of a point table; what is not given is empty."""
    empty: dict[str, object] = {
        "bounds": [],
        "buckets": [],
        "quantiles": [],
        "values": [],
        "attributes": [],
    }
    key = {"metric": "m", "entity": "e", "series": 7, "ts": at(NOON), "start_ts": at(NOON - 60)}
    row = {**empty, **key, "no_value": False, **values}
    fields = SCHEMAS[name]
    columns = [
        pa.array([row[f.name]], f.type.value_type if pa.types.is_dictionary(f.type) else f.type)
        for f in fields
    ]
    return pa.table(columns, names=fields.names).cast(fields)


def test_every_kind_of_point_comes_back_as_it_was_sent(store: Client) -> None:
    tables = {
        "histograms": _point(
            "histograms", count=6, sum=9.5, min=None, max=4.0, bounds=[1.0, 2.0], buckets=[1, 2, 3]
        ),
        "exponential_histograms": _point(
            "exponential_histograms",
            count=9,
            sum=None,
            min=-3.0,
            max=8.0,
            scale=-2,
            zero_count=1,
            zero_threshold=0.25,
            positive_offset=-4,
            positive_buckets=[1, 2],
            negative_offset=3,
            negative_buckets=[5],
        ),
        "summaries": _point("summaries", count=4, sum=10.0, quantiles=[0.5, 0.99], values=[2, 4]),
        "exemplars": _point(
            "exemplars", value=3.5, trace_id="ab" * 16, span_id="cd" * 8, attributes=[("k", "v")]
        ),
    }
    write(store, Batch(tables), "one", at(NOON))

    for name, sent in tables.items():
        columns = [column for column in sent.column_names if column != "no_value"]
        found_rows = store.query(f"SELECT {', '.join(columns)} FROM {name}").result_rows
        row = dict(zip(columns, found_rows[0], strict=True))
        wanted = sent.to_pylist()[0]
        for column in columns:
            value = wanted[column]
            if column in ("ts", "start_ts"):
                value = value.replace(tzinfo=None)
            found = list(row[column].items()) if column == "attributes" else row[column]
            assert found == value, (name, column)


def test_points_without_a_value_are_not_in_the_views(store: Client) -> None:
    gone = _point("summaries", count=0, sum=None, no_value=True)
    write(store, Batch({"summaries": gone}), "one", at(NOON))

    assert store.command("SELECT count() FROM summaries") == 0
    assert store.command("SELECT count() FROM data_summaries") == 1


_WRITER = """
import sys
from noon import NOON
from store.batches import Line, at, batch
from novacron_store.telemetry.client import connect
from novacron_store.telemetry.migrations import migrate
from novacron_store.telemetry.writer import write
client = connect("chdb://" + sys.argv[1])
migrate(client)
for n in range(10_000):
    lines = [Line("heat", f"svc-{i}", [(NOON + n, 1.0)]) for i in range(50)]
    write(client, batch(lines), str(n), at(NOON))
    print(n, flush=True)
"""

_COUNT = """
import sys
from novacron_store.telemetry.client import connect
client = connect("chdb://" + sys.argv[1])
print(*client.query("SELECT count(), uniqExact(ts) FROM samples").result_rows[0])
"""


def _python(code: str, folder: Path) -> list[str]:
    return [sys.executable, "-c", code, str(folder)]


def test_what_was_acknowledged_survives_a_kill(tmp_path: Path) -> None:
    env = {"PYTHONPATH": str(Path(__file__).parents[1]), "PATH": "/usr/bin:/bin"}
    with subprocess.Popen(_python(_WRITER, tmp_path), stdout=subprocess.PIPE, env=env) as writer:
        assert writer.stdout is not None
        for _ in range(12):
            acknowledged = int(writer.stdout.readline())
        writer.send_signal(signal.SIGKILL)
        acknowledged = max([acknowledged, *map(int, writer.stdout.read().split())])

    found = subprocess.check_output(_python(_COUNT, tmp_path), env=env, text=True)
    rows, batches = map(int, found.split())
    assert rows == 50 * batches  # no batch in part
    assert acknowledged + 1 <= batches <= acknowledged + 2


def test_a_folder_in_use_is_named_with_what_to_do(engine_url: str) -> None:
    folder = engine_url.removeprefix("chdb://")
    code = (
        "import sys\n"
        "from novacron_contract.errors import ConfigError\n"
        "from novacron_store.telemetry.client import connect\n"
        "try: connect('chdb://' + sys.argv[1])\n"
        "except ConfigError as err: print(err)\n"
    )
    told = subprocess.check_output(_python(code, Path(folder)), text=True)
    assert told == (
        f"{folder}: another process uses this data folder; "
        "stop that process, or choose another folder\n"
    )


def test_a_store_that_is_not_there_is_unavailable() -> None:
    with pytest.raises(Unavailable, match="does not answer"):
        connect("http://127.0.0.1:9")


def test_a_url_of_another_kind_says_which_are_allowed() -> None:
    with pytest.raises(ConfigError, match="expected http://HOST:PORT"):
        connect("ftp://127.0.0.1")


def test_writing_before_the_database_was_migrated_says_what_is_missing(empty: Client) -> None:
    with pytest.raises(NotFound, match=str(empty.database)):
        write(empty, batch([Line("heat", "svc", [(NOON, 1.0)])]), "one", at(NOON))
