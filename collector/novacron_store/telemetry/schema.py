"""The physical tables of the telemetry store. Nobody but this package names them: people and
components read the views of views.py, so that this layout can change under them.

Samples lie in ARRIVALS as they come, in WINDOWS once their five minutes are over, and in BLOCKS
once their hour is closed (samples.py): a row there is a series in one hour, as steps between
integers where its values are decimals, with its times in TIMES, once for all series that were read
together.
The metric and a hash of the attributes come first because every panel asks for one of each.

A point of another kind that came twice is two rows until a merge; readers see one through FINAL.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from novacron_store.telemetry.place import HERE, Place

ARRIVALS = "data_arrivals"
WINDOWS = "data_windows"
BLOCKS = "data_blocks"
TIMES = "data_times"
HISTOGRAMS = "data_histograms"
EXPONENTIAL_HISTOGRAMS = "data_exponential_histograms"
SUMMARIES = "data_summaries"
EXEMPLARS = "data_exemplars"
SERIES = "data_series"
ENTITIES = "data_entities"
METRICS = "data_metrics"
BUCKETS_5M = "data_buckets_5m"
BUCKETS_1H = "data_buckets_1h"
ROLLED = "data_rolled"
DIRTY = "data_dirty_windows"
MIGRATIONS = "data_migrations"
SETTINGS = "data_settings"

WINDOW_S, HOUR_S = 300, 3600
CLAIMED, REVISED = 0, 2  # resolutions of ROLLED, beside WINDOW_S and HOUR_S

SKETCH = "quantilesDD(0.01, 0.5, 0.9, 0.95, 0.99)"

# ClickHouse's default is 5. Larger merges are fewer: over 160 inserts of 96,000 rows, insert and
# merges together cost a third less, and reads met 10 parts where they had met 3 to 7.
_PARTS_OF_A_MERGE = 16
_NO_STATISTICS = "auto_statistics_types = ''"  # nothing asks for them; 7 % of a merge
# Compression blocks: large ones are worth 6 % where ranges are read, small ones where rows are.
_LARGE_BLOCKS = ("min_compress_block_size = 262144", "max_compress_block_size = 4194304")
_SMALL_BLOCKS = ("min_compress_block_size = 65536", "max_compress_block_size = 1048576")
# Parts go as a whole; a rule that changes looks at their times, and writes no part again.
EXPIRING = "ttl_only_drop_parts = 1, materialize_ttl_recalculate_only = 1"
_ON_DISK = ("fsync_after_insert = 1", "fsync_part_directory = 1")
_KEY = """\
    metric LowCardinality(String),
    entity LowCardinality(String),
    series UInt64 CODEC(ZSTD(1))"""
_CLASSED_KEY = f"""{_KEY},
    class UInt32 CODEC(ZSTD(1)) COMMENT 'hash of the attributes'"""
_TIME = "DateTime64(3, 'UTC') CODEC(Delta(8), T64, ZSTD(1))"
_NUMBER = "Float64 CODEC(Delta(8), ZSTD(1))"
_STEPS = "CODEC(T64('bit'), ZSTD(1))"
_POINT = f"""{_KEY},
    ts {_TIME},
    start_ts {_TIME}"""
DEFAULT_CLASS = "default"
# Numbers: a LowCardinality column costs an eighth of a merge. `retention.apply` adds classes.
RETENTION = f"    retention Enum8('{DEFAULT_CLASS}' = 0) DEFAULT '{DEFAULT_CLASS}'"
_POINT_ORDER = "metric, toStartOfHour(ts), entity, series, ts"
_OPTIONAL = "Nullable(Float64) CODEC(ZSTD(1))"
_DISTRIBUTION = f"""    count UInt64 CODEC(ZSTD(1)),
    sum {_OPTIONAL}"""


@dataclass(frozen=True, slots=True)
class Table:
    """One physical table.

    `expires` is the column that retention counts from, a row lasts `covers` seconds from there on;
    `ttl` is a rule that no setting changes; `shard` spreads the rows of a cluster.
    """

    name: str
    columns: str
    engine: str
    order: str
    partition: str = ""
    expires: str = ""
    covers: int = 0
    ttl: str = ""
    shard: str = "cityHash64(entity)"
    settings: tuple[str, ...] = ()

    @property
    def of_metric(self) -> bool:
        """Whether a row is of one metric, which the column `metric` names."""
        return self.order.startswith("metric,")


def _points(name: str, columns: str) -> Table:
    return Table(
        name,
        columns=f"{columns},\n{RETENTION}",
        engine="ReplacingMergeTree",
        order=_POINT_ORDER,
        partition="retention, toDate(ts)",
        expires="ts",
        settings=(
            *_LARGE_BLOCKS,
            f"merge_selector_base = {_PARTS_OF_A_MERGE}",
            _NO_STATISTICS,
        ),
    )


TABLES: tuple[Table, ...] = (
    # What arrives, as it comes: sorted are rows of many samples each. They stay some hours: LZ4
    # takes a fourth off an insert, half off a read, for 1.4 bytes a sample more. A partition is an
    # hour of arrival, so that who drops one knows that nothing comes to it any more.
    Table(
        ARRIVALS,
        columns=f"""    entity LowCardinality(String),
    ts {_TIME},
    metrics Array(LowCardinality(String)) CODEC(LZ4),
    ids Array(UInt64) CODEC(LZ4),
    starts Array(DateTime64(3, 'UTC')) CODEC(LZ4),
    numbers Array(Float64) CODEC(LZ4),
    arrived DateTime('UTC') DEFAULT now() CODEC(Delta(4), ZSTD(1)),
{RETENTION}""",
        engine="MergeTree",
        order="toStartOfFiveMinutes(ts), entity, ts",
        partition="toStartOfHour(arrived)",
        expires="ts",
        settings=(
            "index_granularity = 256",
            "merge_selector_base = 8",  # every panel reads all of its parts
            _NO_STATISTICS,
        ),
    ),
    # A series in one window of five minutes: parallel arrays in the order of time, no time twice.
    # Of `starts` there is one where they are all the same. The newest version is what holds. They
    # stay until their hour is closed, so that a partition is an hour.
    Table(
        WINDOWS,
        columns=f"""{_KEY},
    t DateTime('UTC') CODEC(Delta(4), ZSTD(1)),
    version UInt64 CODEC(ZSTD(1)),
    times Array(Int64) CODEC(Delta(8), LZ4) COMMENT 'Unix milliseconds',
    starts Array(Int64) CODEC(LZ4) COMMENT 'Unix milliseconds',
    values Array(Float64) CODEC(LZ4),
{RETENTION}""",
        engine="ReplacingMergeTree(version)",
        order="metric, t, entity, series",
        partition="retention, toStartOfHour(t)",
        expires="t",
        settings=("index_granularity = 256", *_LARGE_BLOCKS, _NO_STATISTICS),
    ),
    # A series in one closed hour (blocks.py). The newest version is what holds.
    Table(
        BLOCKS,
        columns=f"""{_CLASSED_KEY},
    hour DateTime('UTC') CODEC(Delta(4), ZSTD(1)),
    version UInt64 CODEC(ZSTD(1)),
    times UInt64 CODEC(ZSTD(1)) COMMENT 'id of the array in {TIMES}',
    starts Array(Int64) CODEC(Delta(8), ZSTD(1)) COMMENT 'Unix ms; one where all are the same',
    scale Int8 CODEC(ZSTD(1)) COMMENT 'a value is an integer / 10^scale; below 0: see floats',
    base Int64 CODEC(ZSTD(1)) COMMENT 'the first integer',
    steps Array(Int64) {_STEPS} COMMENT 'of each integer from the one before',
    floats Array(Float64) CODEC(Delta(8), ZSTD(1)),
    carried Float64 CODEC(ZSTD(1)) COMMENT 'increase from the hour before to the first value',
{RETENTION}""",
        engine="ReplacingMergeTree(version)",
        order="metric, class, entity, series, hour",
        partition="retention, toStartOfInterval(hour, INTERVAL 12 HOUR)",
        expires="hour",
        covers=HOUR_S,
        settings=("index_granularity = 32", *_SMALL_BLOCKS, _NO_STATISTICS),
    ),
    # The times of one or more series of an entity in one hour.
    Table(
        TIMES,
        columns=f"""    hour DateTime('UTC') CODEC(Delta(4), ZSTD(1)),
    entity LowCardinality(String),
    id UInt64 CODEC(ZSTD(1)),
    first Int64 CODEC(ZSTD(1)) COMMENT 'Unix milliseconds',
    steps Array(Int32) {_STEPS} COMMENT 'milliseconds from the one before',
{RETENTION}""",
        engine="ReplacingMergeTree",
        order="hour, entity, id",
        partition="retention, toDate(hour)",
        expires="hour",
        covers=HOUR_S,
        settings=("index_granularity = 64", *_SMALL_BLOCKS, _NO_STATISTICS),
    ),
    _points(
        HISTOGRAMS,
        f"""{_POINT},
{_DISTRIBUTION},
    min {_OPTIONAL},
    max {_OPTIONAL},
    bounds Array(Float64) CODEC(ZSTD(1)),
    buckets Array(UInt64) CODEC(ZSTD(1)),
    no_value Bool""",
    ),
    _points(
        EXPONENTIAL_HISTOGRAMS,
        f"""{_POINT},
{_DISTRIBUTION},
    min {_OPTIONAL},
    max {_OPTIONAL},
    scale Int32 CODEC(ZSTD(1)),
    zero_count UInt64 CODEC(ZSTD(1)),
    zero_threshold Float64 CODEC(ZSTD(1)),
    positive_offset Int32 CODEC(ZSTD(1)),
    positive_buckets Array(UInt64) CODEC(ZSTD(1)),
    negative_offset Int32 CODEC(ZSTD(1)),
    negative_buckets Array(UInt64) CODEC(ZSTD(1)),
    no_value Bool""",
    ),
    _points(
        SUMMARIES,
        f"""{_POINT},
{_DISTRIBUTION},
    quantiles Array(Float64) CODEC(ZSTD(1)),
    values Array(Float64) CODEC(ZSTD(1)),
    no_value Bool""",
    ),
    Table(
        EXEMPLARS,
        columns=f"""{_KEY},
    ts {_TIME},
    value Float64 CODEC(ZSTD(1)),
    trace_id String CODEC(ZSTD(1)),
    span_id String CODEC(ZSTD(1)),
    attributes Map(String, String) CODEC(ZSTD(1)),
{RETENTION}""",
        engine="ReplacingMergeTree",
        order="metric, toStartOfHour(ts), entity, series, ts, trace_id, span_id, value",
        partition="retention, toDate(ts)",
        expires="ts",
    ),
    # Written again after each restart of a collector: equal rows collapse, the first date stays.
    Table(
        SERIES,
        columns=f"""{_KEY},
    kind SimpleAggregateFunction(any, LowCardinality(String)),
    temporality SimpleAggregateFunction(any, LowCardinality(String)),
    monotonic SimpleAggregateFunction(any, Bool),
    unit SimpleAggregateFunction(any, LowCardinality(String)),
    attributes SimpleAggregateFunction(any, Map(String, String)) CODEC(ZSTD(3)),
    attribute_types SimpleAggregateFunction(any, Map(String, String)) CODEC(ZSTD(3)),
    scope SimpleAggregateFunction(any, String) CODEC(ZSTD(3)),
    first_seen SimpleAggregateFunction(min, DateTime64(3, 'UTC'))""",
        engine="AggregatingMergeTree",
        order="metric, entity, series",
    ),
    # One row per resource an entity ever had: its names and hosts, with when they held.
    Table(
        ENTITIES,
        columns="""    entity String,
    resource_hash UInt64 DEFAULT sipHash64(entity_type, toString(mapSort(resource))),
    entity_type SimpleAggregateFunction(anyLast, LowCardinality(String)),
    resource SimpleAggregateFunction(anyLast, Map(String, String)) CODEC(ZSTD(3)),
    resource_types SimpleAggregateFunction(anyLast, Map(String, String)) CODEC(ZSTD(3)),
    first_seen SimpleAggregateFunction(min, DateTime64(3, 'UTC')),
    last_seen SimpleAggregateFunction(max, DateTime64(3, 'UTC'))""",
        engine="AggregatingMergeTree",
        order="entity, resource_hash",
    ),
    Table(
        METRICS,
        columns="""    metric String,
    kind LowCardinality(String),
    temporality LowCardinality(String),
    monotonic Bool,
    unit LowCardinality(String),
    description String,
    seen DateTime64(3, 'UTC')""",
        engine="ReplacingMergeTree(seen)",
        order="metric, kind, temporality, monotonic, unit",
        shard="cityHash64(metric)",
    ),
    # Buckets of five minutes, those of a series in one hour as arrays (buckets.py).
    Table(
        BUCKETS_5M,
        columns=f"""{_CLASSED_KEY},
    hour DateTime('UTC') CODEC(Delta(4), ZSTD(1)),
    version UInt64 CODEC(ZSTD(1)),
    slots Array(UInt8) CODEC(ZSTD(1)) COMMENT 'which of the twelve there are, from 0',
    counts Array(UInt32) CODEC(T64, ZSTD(1)),
    scale Int8 CODEC(ZSTD(1)) COMMENT 'numbers are integers / 10^scale; below 0: see floats',
    base Int64 CODEC(ZSTD(1)) COMMENT 'the first of the last values',
    lasts Array(Int64) {_STEPS} COMMENT 'steps between last values',
    firsts Array(Int64) {_STEPS} COMMENT 'above the last value of the bucket before',
    mins Array(Int64) {_STEPS} COMMENT 'below the first value',
    maxs Array(Int64) {_STEPS} COMMENT 'above the last value',
    sums Array(Int64) {_STEPS} COMMENT 'above count * last value',
    grown Array(Int64) {_STEPS} COMMENT 'increase; empty where none of the kind',
    floats Array(Array(Float64)) CODEC(Delta(8), ZSTD(1)) COMMENT 'last, first, ... grown',
    carried Float64 CODEC(ZSTD(1)) COMMENT 'increase from the hour before, in the first bucket',
{RETENTION}""",
        engine="ReplacingMergeTree(version)",
        order="metric, class, entity, series, hour",
        partition="retention, toDate(hour)",
        expires="hour",
        covers=HOUR_S,
        settings=("index_granularity = 64", *_SMALL_BLOCKS, _NO_STATISTICS),
    ),
    Table(
        BUCKETS_1H,
        columns=f"""{_CLASSED_KEY},
    t DateTime('UTC') CODEC(Delta(4), ZSTD(1)),
    version UInt64 CODEC(ZSTD(1)),
    count UInt32 CODEC(T64, ZSTD(1)),
    min {_NUMBER},
    max {_NUMBER},
    sum {_NUMBER},
    first {_NUMBER},
    last {_NUMBER},
    grown Float64 CODEC(ZSTD(1)) COMMENT 'increase inside the hour',
    carried Float64 CODEC(ZSTD(1)) COMMENT 'increase from the hour before',
    sketch AggregateFunction({SKETCH}, Float64) CODEC(ZSTD(1)),
{RETENTION}""",
        engine="ReplacingMergeTree(version)",
        order="metric, class, entity, series, t",
        partition="retention, toStartOfMonth(t)",
        expires="t",
        covers=HOUR_S,
        settings=(_NO_STATISTICS,),
    ),
    # Windows before `upto` were gathered, and hours closed, at least once. Resolution 0 is written
    # before that, and says up to where samples may have been read: what is stored for such a window
    # gets a mark. Resolution 2 is written after closed hours were changed, and is larger each time
    # (progress.py).
    Table(
        ROLLED,
        columns="    resolution UInt32,\n    upto DateTime('UTC')",
        engine="ReplacingMergeTree(upto)",
        order="resolution",
        shard="resolution",
    ),
    # Windows to which samples came after they were gathered. A mark is consumed by a second row
    # with `done`: marks have ids of their own, so no clock decides whether one was seen.
    Table(
        DIRTY,
        columns="""    window DateTime('UTC'),
    mark UInt64,
    marked DateTime64(3, 'UTC'),
    done Bool,
    entities Array(String) COMMENT 'whose samples came; empty: not known'""",
        engine="ReplacingMergeTree(done)",
        order="window, mark",
        ttl="toDateTime(marked) + INTERVAL 7 DAY DELETE WHERE done",
        shard="toUInt32(window)",
    ),
    # What was done to this database: migrations by number, and the settings that hold now.
    Table(
        MIGRATIONS,
        columns="    number UInt32,\n    name String,\n    applied DateTime DEFAULT now()",
        engine="ReplacingMergeTree(applied)",
        order="number",
        shard="number",
    ),
    Table(
        SETTINGS,
        columns="    name String,\n    value String,\n    changed DateTime64(6) DEFAULT now64(6)",
        engine="ReplacingMergeTree(changed)",
        order="name",
        shard="cityHash64(name)",
    ),
)


def ddl(place: Place = HERE, tables: Iterable[Table] = TABLES) -> list[str]:
    """Statements that create every table there.

    On a cluster they create replicated tables and distributed ones in front of them. That variant
    is parse-checked only: it has not run on a cluster yet.
    """
    if not place.cluster:
        return [_create(table, place) for table in tables]
    return [text for table in tables for text in _create_on_cluster(table, place)]


def _create(table: Table, place: Place) -> str:
    name = place.named(table.name)
    return _statement(table, name, table.engine, ("non_replicated_deduplication_window = 1000",))


def _create_on_cluster(table: Table, place: Place) -> list[str]:
    kind, _, arguments = table.engine.partition("(")
    path = f"'/clickhouse/tables/{{shard}}/{{database}}/{table.name}', '{{replica}}'"
    rest = f", {arguments}" if arguments else ")"
    local = f"{table.name}_local"
    where = f"'{place.cluster}', {place.database_sql}, '{local}'"
    return [
        _statement(
            table, place.named(local) + place.on_cluster, f"Replicated{kind}({path}{rest}", ()
        ),
        f"CREATE TABLE IF NOT EXISTS {place.named(table.name)}{place.on_cluster}\n"
        f"AS {place.named(local)}\n"
        f"ENGINE = Distributed({where}, {table.shard})",
    ]


def _statement(table: Table, name: str, engine: str, settings: tuple[str, ...]) -> str:
    expiring = (EXPIRING,) if table.expires else ()
    every = settings + expiring + table.settings + _ON_DISK
    lines = [
        f"CREATE TABLE IF NOT EXISTS {name} (\n{table.columns}\n)",
        f"ENGINE = {engine}",
        f"PARTITION BY ({table.partition})" if table.partition else "",
        f"ORDER BY ({table.order})",
        f"TTL {table.ttl}" if table.ttl else "",
        f"SETTINGS {', '.join(every)}",
    ]
    return "\n".join(line for line in lines if line)
