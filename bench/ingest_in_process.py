"""The ways from OTLP bytes to committed rows that run in one process, each in one of its own.

loop         a Python loop over protobuf objects, known series looked up in a dictionary
clickhouse   ClickHouse's own ProtobufSingle format, with an inline schema, and SQL to flatten it
ours         the collector's decoder and writer
... with_rollups    the same, and every 5 minutes what has ended is rolled up
... without_merges  the same, and merges wait: what a sender waits for
"""

from __future__ import annotations

import os
import pickle
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import xxhash
from clickhouse_connect.driver.client import Client
from opentelemetry.proto.metrics.v1.metrics_pb2 import MetricsData

from ingest_requests import COUNTED, POINTS, Requests, Script
from merges import wait_for_merges
from novacron_collector.otlp.decoder import Decoder
from novacron_collector.otlp.limits import PointLimits
from novacron_store.telemetry import schema
from novacron_store.telemetry.batch import SAMPLES, Batch
from novacron_store.telemetry.client import connect
from novacron_store.telemetry.migrations import migrate
from novacron_store.telemetry.rollups import Roller
from novacron_store.telemetry.schema import WINDOW_S
from novacron_store.telemetry.writer import LATENESS_S, write

_WEEK_S = 7 * 86400
_SCRAPES = 5  # in one insert, 480,000 points: a segment of the collector holds 500,000

Way = Callable[[Client, Path], Callable[[Requests, int], None]]


# -- the ways: given the requests of some scrapes and the time, commit their rows --------------


def _loop(client: Client, _folder: Path) -> Callable[[Requests, int], None]:
    known: dict[tuple[object, ...], int] = {}

    def ingest(requests: Requests, now: int) -> None:
        columns: tuple[list[object], ...] = tuple([] for _ in SAMPLES)
        for body in requests:
            for row in _rows(MetricsData.FromString(body), known):
                for column, value in zip(columns, row, strict=True):
                    column.append(value)
        arrays = [pa.array(c, f.type) for c, f in zip(columns, SAMPLES, strict=True)]
        table = pa.table(arrays, schema=SAMPLES)
        write(client, Batch({"samples": table}), f"{now}", datetime.fromtimestamp(now, UTC))

    return ingest


def _rows(
    data: MetricsData, known: dict[tuple[object, ...], int]
) -> Iterator[tuple[str, str, int, int, int, float]]:
    for group in data.resource_metrics:
        resource = {a.key: a.value.string_value for a in group.resource.attributes}
        entity = resource["vm.id"]
        for scoped in group.scope_metrics:
            for metric in scoped.metrics:
                name, unit = metric.name, metric.unit
                points = getattr(metric, metric.WhichOneof("data")).data_points
                for p in points:
                    labels = tuple(sorted((a.key, a.value.string_value) for a in p.attributes))
                    key = (entity, name, unit, labels)
                    series = known.get(key)
                    if series is None:
                        series = known[key] = xxhash.xxh3_64_intdigest(repr(key).encode())
                    value = p.as_double if p.HasField("as_double") else float(p.as_int)
                    ts, start = p.time_unix_nano // 10**6, p.start_time_unix_nano // 10**6
                    yield name, entity, series, ts, start, value


_PROTO = """syntax = "proto3";
message Text { string string_value = 1; }
message Pair { string key = 1; Text value = 2; }
message Point { repeated Pair attributes = 7; fixed64 start_time_unix_nano = 2;
  fixed64 time_unix_nano = 3; oneof value { double as_double = 4; sfixed64 as_int = 6; } }
message Data { repeated Point data_points = 1; }
message Metric { string name = 1; string unit = 3; oneof data { Data gauge = 5; Data sum = 7; } }
message ScopeMetrics { repeated Metric metrics = 2; }
message Resource { repeated Pair attributes = 1; }
message ResourceMetrics { Resource resource = 1; repeated ScopeMetrics scope_metrics = 2; }
message Request { repeated ResourceMetrics resource_metrics = 1; }"""
_PAIRS = "attributes Array(Tuple(key String, value Tuple(string_value String)))"
_DATA = (
    f"Tuple(data_points Array(Tuple({_PAIRS}, start_time_unix_nano UInt64, "
    "time_unix_nano UInt64, as_double Float64, as_int Int64)))"
)
_STRUCTURE = (
    f"resource_metrics Array(Tuple(resource Tuple({_PAIRS}), scope_metrics Array(Tuple("
    f"metrics Array(Tuple(name String, unit String, gauge {_DATA}, sum {_DATA}))))))"
)
_FLATTEN = f"""
INSERT INTO rows (metric, entity, series, ts, start_ts, value)
SELECT name, entity, xxh3(entity, name, unit, arraySort(p.1)),
    fromUnixTimestamp64Milli(intDiv(p.3, 1000000)), fromUnixTimestamp64Milli(intDiv(p.2, 1000000)),
    p.4 + p.5
FROM (
    SELECT entity, m.1 AS name, m.2 AS unit, arrayJoin(arrayConcat(m.3.1, m.4.1)) AS p
    FROM (
        SELECT arrayFirst(a -> a.1 = 'vm.id', rm.1.1).2.1 AS entity,
            arrayJoin(arrayJoin(rm.2).1) AS m
        FROM (
            SELECT arrayJoin(resource_metrics) AS rm
            FROM file({{path:String}}, ProtobufSingle, '{_STRUCTURE}')
        )
    )
)
SETTINGS format_schema_source = 'string', format_schema_message_name = 'Request',
    format_schema = {{proto:String}}"""


# A row for each sample, as ClickHouse is usually given them.
_ROWS = """
CREATE TABLE rows (
    metric LowCardinality(String), entity LowCardinality(String), series UInt64 CODEC(ZSTD(1)),
    ts DateTime64(3, 'UTC') CODEC(Delta(8), T64, ZSTD(1)),
    start_ts DateTime64(3, 'UTC') CODEC(Delta(8), T64, ZSTD(1)),
    value Float64 CODEC(Delta(8), ZSTD(1))
)
ENGINE = ReplacingMergeTree PARTITION BY toDate(ts)
ORDER BY (metric, toStartOfHour(ts), entity, series, ts)
SETTINGS merge_selector_base = 16, auto_statistics_types = '', fsync_after_insert = 1"""


def _clickhouse(client: Client, folder: Path) -> Callable[[Requests, int], None]:
    client.command(_ROWS)
    path = folder / "requests.bin"
    text = _FLATTEN.replace("{path:String}", f"'{path}'").replace("{proto:String}", repr(_PROTO))

    def ingest(requests: Requests, _now: int) -> None:
        path.write_bytes(b"".join(requests))
        client.command(text)

    return ingest


def _ours(client: Client, _folder: Path) -> Callable[[Requests, int], None]:
    decoder = Decoder(PointLimits(), _WEEK_S, 10**6)

    def ingest(requests: Requests, now: int) -> None:
        batch = decoder.decode(requests, now).batch
        write(client, batch, f"{now}", datetime.fromtimestamp(now, UTC))

    return ingest


WAYS: dict[str, Way] = {
    "loop": _loop,
    "clickhouse": _clickhouse,
    "ours": _ours,
    "ours_with_rollups": _ours,
    "ours_without_merges": _ours,
}


# -- measuring ---------------------------------------------------------------------------------


def measure(way: str, requests_file: Path) -> float:
    """Points per CPU second of this process."""
    script: Script = pickle.loads(requests_file.read_bytes())
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)  # ClickHouse keeps the schemas it compiled where it runs
        client = connect(f"chdb://{folder}/data")
        migrate(client)
        if way == "ours_without_merges":
            client.command(f"SYSTEM STOP MERGES {schema.ARRIVALS}")
        ingest = WAYS[way](client, Path(folder))
        began = 0.0
        for number, (now, requests) in enumerate(_segments(script)):
            if number == 1:
                began = time.process_time()
            ingest(requests, now)
            if way == "ours_with_rollups" and now % WINDOW_S == 0:
                Roller(client).run(datetime.fromtimestamp(now + LATENESS_S, UTC))
        if way != "ours_without_merges":
            wait_for_merges(client)
        seconds = time.process_time() - began
        table = "rows FINAL" if way == "clickhouse" else "samples"
        count = client.query(f"SELECT count() FROM {table}").result_rows[0][0]
        assert count == POINTS, f"{way} stored {count} rows"
        client.close()
    return COUNTED / seconds


def _segments(script: Script) -> Iterator[tuple[int, Requests]]:
    """The first scrape, then as many together as the collector writes together at full rate."""
    yield script[0]
    for first in range(1, len(script), _SCRAPES):
        some = script[first : first + _SCRAPES]
        yield some[-1][0], [body for _, requests in some for body in requests]


def main(arguments: Sequence[str]) -> int:
    way, path = arguments
    print(measure(way, Path(path)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
