"""The tables people and components see. They hide how samples are stored, and their comments say
what is in them: `SHOW TABLES`, `DESCRIBE vm_cpu`."""

from __future__ import annotations

from dataclasses import dataclass

from novacron_store.telemetry import schema

_TS = "DateTime64(3, 'UTC')"
_NAME = "LowCardinality(String)"  # as stored: a conversion would not use the index
_LABELS = "Map(String, String)"
_OPTIONAL = "Nullable(Float64)"
_COMMENTS = {
    "metric": "name of the metric",
    "entity": "vm.id of a VM, host.id of a host, or what else sent it",
    "series": "hash of metric, entity and attributes",
    "ts": "time of the point, UTC",
    "start_ts": "since when a cumulative value counts; 1970-01-01 where the sender did not say",
    "attributes": "what distinguishes the series of one metric and entity",
    "name": "the entity's newest name",
    "vm": "id of the VM",
    "host": "id of the host",
    "host_name": "name of the host the VM runs on",
    "unit": "unit in UCUM: s, By, 1, {packet}",
    "kind": "gauge, sum, histogram, exponential_histogram or summary",
    "temporality": "cumulative or delta for sums and histograms, otherwise unspecified",
    "monotonic": "whether a sum only grows: a counter",
    "t": "start of the bucket, UTC",
}


@dataclass(frozen=True, slots=True)
class View:
    """`columns` as (name, type) or (name, type, comment)."""

    name: str
    comment: str
    columns: tuple[tuple[str, ...], ...]
    query: str

    @property
    def described(self) -> tuple[tuple[str, str, str], ...]:
        """Every column as (name, type, comment)."""
        return tuple(
            (name, kind, own[0] if own else _COMMENTS[name]) for name, kind, *own in self.columns
        )

    @property
    def sql(self) -> str:
        columns = ",\n".join(
            f"    {name} {kind} COMMENT {_text(comment)}" for name, kind, comment in self.described
        )
        return (
            f"CREATE OR REPLACE VIEW {self.name} (\n{columns}\n) AS\n{self.query}\n"
            f"COMMENT {_text(self.comment)}"
        )


def _text(comment: str) -> str:
    return "'" + comment.replace("\\", "\\\\").replace("'", "\\'") + "'"


_KEY = (("metric", _NAME), ("entity", _NAME), ("series", "UInt64"), ("ts", _TS))
_POINT = (*_KEY, ("start_ts", _TS))
_DISTRIBUTION = (
    ("count", "UInt64", "number of measurements"),
    ("sum", _OPTIONAL, "their sum, NULL where the sender gave none"),
)
_EXTREMES = (
    ("min", _OPTIONAL, "the smallest, NULL where the sender gave none"),
    ("max", _OPTIONAL, "the largest, NULL where the sender gave none"),
)


def _stored(
    name: str, table: str, comment: str, *columns: tuple[str, ...], where: str = ""
) -> View:
    names = ", ".join(column[0] for column in columns)
    condition = f" WHERE {where}" if where else ""
    return View(name, comment, columns, f"SELECT {names} FROM {table} FINAL{condition}")


_POINTS = (
    _stored(
        "samples",
        schema.SAMPLES,
        "Every stored sample, once; the attributes of a series are in `series`",
        *_POINT,
        ("value", "Float64", "the value; a counter as it was sent"),
        where="NOT isNaN(value)",
    ),
    _stored(
        "series_ends",
        schema.SAMPLES,
        "When a sender said that a series has no value any more",
        *_KEY,
        where="isNaN(value)",
    ),
    _stored(
        "histograms",
        schema.HISTOGRAMS,
        "Points of histograms with explicit bounds",
        *_POINT,
        *_DISTRIBUTION,
        *_EXTREMES,
        ("bounds", "Array(Float64)", "upper bounds of all buckets but the last"),
        ("buckets", "Array(UInt64)", "measurements in each bucket, one more than bounds"),
        where="NOT no_value",
    ),
    _stored(
        "exponential_histograms",
        schema.EXPONENTIAL_HISTOGRAMS,
        "Points of exponential histograms",
        *_POINT,
        *_DISTRIBUTION,
        *_EXTREMES,
        ("scale", "Int32", "the base of the buckets is 2^(2^-scale)"),
        ("zero_count", "UInt64", "measurements that count as zero"),
        ("zero_threshold", "Float64", "up to which absolute value"),
        ("positive_offset", "Int32", "index of the first positive bucket"),
        ("positive_buckets", "Array(UInt64)", "measurements in each positive bucket"),
        ("negative_offset", "Int32", "index of the first negative bucket"),
        ("negative_buckets", "Array(UInt64)", "measurements in each negative bucket"),
        where="NOT no_value",
    ),
    _stored(
        "summaries",
        schema.SUMMARIES,
        "Points of summaries: quantiles a sender computed itself",
        *_POINT,
        *_DISTRIBUTION,
        ("quantiles", "Array(Float64)", "0.5 is the median"),
        ("values", "Array(Float64)", "the value of each quantile"),
        where="NOT no_value",
    ),
    _stored(
        "exemplars",
        schema.EXEMPLARS,
        "Single measurements with the trace they belong to",
        *_KEY,
        ("value", "Float64", "the measurement"),
        ("trace_id", "String", "hexadecimal, empty where there is none"),
        ("span_id", "String", "hexadecimal, empty where there is none"),
        ("attributes", _LABELS, "what the point itself left out"),
    ),
)

_ENTITY_NAME = (
    "multiIf("
    + ", ".join(
        f"newest.2['{key}'] != '', newest.2['{key}']"
        for key in ("vm.name", "service.name", "host.name")
    )
    + ", entity)"
)

_DESCRIPTIONS = (
    _stored(
        "series",
        schema.SERIES,
        "Every series ever seen, with its attributes",
        ("metric", _NAME),
        ("entity", _NAME),
        ("series", "UInt64"),
        ("kind", "String"),
        ("temporality", "String"),
        ("monotonic", "Bool"),
        ("unit", "String"),
        ("attributes", _LABELS),
        ("attribute_types", _LABELS, "OTLP types of the attributes that are not strings"),
        ("scope", "String", "the instrumentation scope"),
        ("first_seen", _TS, "time of its first point"),
    ),
    _stored(
        "metrics",
        schema.METRICS,
        "Every metric: what it measures, and in which unit",
        ("metric", _NAME),
        ("kind", "String"),
        ("temporality", "String"),
        ("monotonic", "Bool"),
        ("unit", "String"),
        ("description", "String", "in the sender's words"),
        ("seen", _TS, "when the sender last described it"),
    ),
    View(
        "entities",
        "What is known now of each VM, host and service",
        (
            ("entity", _NAME),
            ("entity_type", "String", "vm, host, service or other"),
            ("name", "String"),
            ("resource", _LABELS, "its resource attributes as last sent"),
            ("resource_types", _LABELS, "OTLP types of those that are not strings"),
            ("first_seen", _TS, "when it was first seen"),
            ("seen", _TS, "when its resource was last written"),
        ),
        f"""SELECT entity, newest.1 AS entity_type, {_ENTITY_NAME} AS name, newest.2 AS resource,
    newest.3 AS resource_types, first AS first_seen, last AS seen
FROM (
    SELECT entity, argMax((entity_type, resource, resource_types), last_seen) AS newest,
        min(first_seen) AS first, max(last_seen) AS last
    FROM {schema.ENTITIES} GROUP BY entity
)""",
    ),
    _stored(
        "entity_history",
        schema.ENTITIES,
        "Every resource an entity ever had: a renamed or moved VM has a row for each",
        ("entity", _NAME),
        ("entity_type", "String", "vm, host, service or other"),
        ("resource", _LABELS, "its resource attributes then"),
        ("first_seen", _TS, "when it was first seen with them"),
        ("last_seen", _TS, "when it was last written with them"),
    ),
)

_NAMED = "LEFT ANY JOIN (SELECT entity, name FROM entities) AS e USING (entity)"
_LABELLED = (
    "LEFT ANY JOIN (SELECT metric, entity, series, attributes, unit FROM series) AS l "
    "USING (metric, entity, series)"
)
_PERSON = (("metric", _NAME), ("entity", _NAME), ("name", "String"), ("attributes", _LABELS))


def _buckets(name: str, table: str, step: str, seconds: int) -> View:
    return View(
        name,
        f"Every series in buckets of {step}; newest bucket some minutes after its end",
        (
            *_PERSON,
            ("unit", "String"),
            ("t", "DateTime('UTC')"),
            ("count", "UInt32", "samples in the bucket"),
            ("min", "Float64", "the smallest"),
            ("avg", "Float64", "the mean"),
            ("max", "Float64", "the largest"),
            ("sum", "Float64", "their sum"),
            ("first", "Float64", "the first"),
            ("last", "Float64", "the last"),
            ("increase", "Float64", "growth of a counter, restarts handled; 0 for other kinds"),
            ("rate", "Float64", "increase per second"),
            ("p50", "Float64", "median, within 1 %"),
            ("p95", "Float64", "95th percentile, within 1 %"),
        ),
        f"""SELECT metric, entity, e.name AS name, l.attributes AS attributes, l.unit AS unit,
    t, count, min, sum / count AS avg, max, sum, first, last, increase,
    increase / {seconds} AS rate, quantiles[1] AS p50, quantiles[3] AS p95
FROM (
    SELECT metric, entity, series, t, count, min, max, sum, first, last, increase,
        finalizeAggregation(sketch) AS quantiles
    FROM {table} FINAL
) AS b
{_LABELLED}
{_NAMED}""",
    )


_GENERAL = (
    View(
        "metrics_raw",
        "Every sample with its attributes and the entity's name",
        (*_PERSON, ("unit", "String"), ("ts", _TS), ("value", "Float64", "the value as sent")),
        f"""SELECT metric, entity, e.name AS name, l.attributes AS attributes, l.unit AS unit,
    ts, value
FROM samples AS s
{_LABELLED}
{_NAMED}""",
    ),
    View(
        "metrics_now",
        "The newest value of every series, of those that had one in the last 15 minutes",
        (*_PERSON, ("unit", "String"), ("ts", _TS), ("value", "Float64", "the newest value")),
        f"""SELECT metric, entity, e.name AS name, l.attributes AS attributes, l.unit AS unit,
    newest AS ts, value
FROM (
    SELECT metric, entity, series, max(ts) AS newest, argMax(s.value, ts) AS value
    FROM {schema.SAMPLES} AS s
    WHERE ts > now64(3) - INTERVAL 15 MINUTE
        AND toStartOfHour(ts) >= toStartOfHour(now() - INTERVAL 15 MINUTE)
        AND NOT isNaN(s.value)
    GROUP BY metric, entity, series
) AS n
{_LABELLED}
{_NAMED}""",
    ),
    _buckets("metrics_5m", schema.ROLLUP_5M, "5 minutes", 300),
    _buckets("metrics_1h", schema.ROLLUP_1H, "one hour", 3600),
)


@dataclass(frozen=True, slots=True)
class Value:
    """A column made of one metric, or of those of its series whose attribute `key` is `label`."""

    column: str
    metric: str
    comment: str
    key: str = ""
    label: str = ""

    @property
    def condition(self) -> str:
        wanted = f"metric = {_text(self.metric)}"
        if self.key:
            wanted += f" AND attributes[{_text(self.key)}] = {_text(self.label)}"
        return wanted


def _side_by_side(
    name: str,
    comment: str,
    values: tuple[Value, ...],
    labels: tuple[tuple[str, str, str], ...] = (),
    rates: bool = False,
) -> View:
    """Metrics of one machine as columns: values as sampled, or rates in buckets of 5 minutes.

    `labels` are (column, attribute, comment): one row for each of their values.
    """
    who = name.partition("_")[0]
    time = ("t", "DateTime('UTC')") if rates else ("ts", _TS)
    source = "metrics_5m" if rates else "metrics_raw"
    take = "sumIfOrNull(rate" if rates else "anyIf(toNullable(value)"
    metrics = ", ".join(sorted({_text(value.metric) for value in values}))
    select = [f"entity AS {who}", "any(r.name) AS name"]
    select += [f"attributes[{_text(key)}] AS {column}" for column, key, _ in labels]
    select += [time[0], *(f"{take}, {value.condition}) AS {value.column}" for value in values)]
    groups = [who, *(column for column, _, _ in labels), time[0]]
    columns = ",\n    ".join(select)
    return View(
        name,
        comment,
        (
            (who, _NAME),
            ("name", "String"),
            *((column, "String", text) for column, _, text in labels),
            time,
            *((value.column, _OPTIONAL, value.comment) for value in values),
        ),
        f"SELECT {columns}\nFROM {source} AS r\nWHERE metric IN ({metrics})\n"
        f"GROUP BY {', '.join(groups)}",
    )


_DISK_LABEL = (("device", "system.device", "the disk"),)
_VM_LABEL = (("mac", "network.interface.mac", "MAC address of the interface"),)
_HOST_LABEL = (("interface", "network.interface.name", "the interface"),)


def _disk(who: str, prefix: str) -> View:
    key = "disk.io.direction"
    return _side_by_side(
        f"{who}_disk",
        f"Disk traffic of each {who} and disk, in buckets of 5 minutes",
        (
            Value("read", f"{prefix}.disk.io", "By/s read", key, "read"),
            Value("written", f"{prefix}.disk.io", "By/s written", key, "write"),
            Value("reads", f"{prefix}.disk.operations", "read operations per s", key, "read"),
            Value("writes", f"{prefix}.disk.operations", "write operations per s", key, "write"),
        ),
        _DISK_LABEL,
        rates=True,
    )


def _network(who: str, prefix: str, labels: tuple[tuple[str, str, str], ...]) -> View:
    key = "network.io.direction"
    packets, dropped = f"{prefix}.network.packet.count", f"{prefix}.network.packet.dropped"
    return _side_by_side(
        f"{who}_network",
        f"Network traffic of each {who} and interface, in buckets of 5 minutes",
        (
            Value("received", f"{prefix}.network.io", "By/s received", key, "receive"),
            Value("sent", f"{prefix}.network.io", "By/s sent", key, "transmit"),
            Value("packets_received", packets, "packets received per s", key, "receive"),
            Value("packets_sent", packets, "packets sent per s", key, "transmit"),
            Value("drops_received", dropped, "incoming packets dropped per s", key, "receive"),
            Value("drops_sent", dropped, "outgoing packets dropped per s", key, "transmit"),
        ),
        labels,
        rates=True,
    )


_MODE, _MEMORY = "cpu.mode", "system.memory.state"
_CPU, _LOAD = "system.cpu.utilization", "system.cpu.load_average"

_MACHINES = (
    _side_by_side(
        "vm_cpu",
        "CPU of each VM, as its hypervisor sees it",
        (
            Value("utilization", "vm.cpu.utilization", "share of its virtual CPUs used, 0 to 1"),
            Value("cpus", "vm.cpu.count", "virtual CPUs"),
            Value("cpu_seconds", "vm.cpu.time", "CPU time consumed since it started, s"),
        ),
    ),
    _side_by_side(
        "vm_memory",
        "Memory of each VM in bytes",
        (
            Value("usage", "vm.memory.usage", "in use inside; NULL when the guest does not tell"),
            Value("memory_limit", "vm.memory.limit", "what the VM may use at most"),
        ),
    ),
    _disk("vm", "vm"),
    _network("vm", "vm", _VM_LABEL),
    View(
        "vm_state",
        "The newest state of each VM that reported one during the last day",
        (
            ("vm", _NAME),
            ("name", "String"),
            ("state", "String", "running, paused, stopping, stopped, suspended, crashed, …"),
            ("ts", _TS, "time of the report, UTC"),
        ),
        """SELECT entity AS vm, any(r.name) AS name, argMax(attributes['vm.state'], r.ts) AS state,
    max(r.ts) AS ts
FROM metrics_raw AS r
WHERE metric = 'vm.state' AND value = 1 AND r.ts > now64(3) - INTERVAL 1 DAY
GROUP BY vm""",
    ),
    _side_by_side(
        "host_cpu",
        "CPU of each host: shares of all its CPUs by mode, 0 to 1, and load",
        (
            *(
                Value(mode, _CPU, f"share in mode {mode}", _MODE, mode)
                for mode in ("user", "system", "iowait", "steal", "idle")
            ),
            Value("cpus", "system.cpu.logical.count", "logical CPUs"),
            Value("load_1m", f"{_LOAD}.1m", "load average over 1 minute"),
            Value("load_5m", f"{_LOAD}.5m", "load average over 5 minutes"),
            Value("load_15m", f"{_LOAD}.15m", "load average over 15 minutes"),
        ),
    ),
    _side_by_side(
        "host_memory",
        "Memory of each host in bytes",
        (
            *(
                Value(state, "system.memory.usage", f"memory that is {state}", _MEMORY, state)
                for state in ("used", "free", "cached", "buffers")
            ),
            Value("available", "system.memory.linux.available", "to be had without swapping"),
            Value("installed", "system.memory.limit", "installed memory"),
        ),
    ),
    _disk("host", "system"),
    _network("host", "system", _HOST_LABEL),
    _side_by_side(
        "host_filesystem",
        "Filesystems of each host",
        (
            Value("utilization", "system.filesystem.utilization", "share of the space used"),
            Value("size", "system.filesystem.limit", "its size in bytes"),
        ),
        (("mountpoint", "system.filesystem.mountpoint", "where it is mounted"),),
    ),
)

VIEWS: tuple[View, ...] = (*_POINTS, *_DESCRIPTIONS, *_GENERAL, *_MACHINES)


def statements() -> list[str]:
    """What creates or replaces every view, in an order that respects who reads whom."""
    return [view.sql for view in VIEWS]
