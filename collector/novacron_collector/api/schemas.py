"""The shapes of the API's answers, as JSON Schema."""

from __future__ import annotations

from typing import Any

from novacron_collector.api.notices import Severity
from novacron_collector.api.series import MAX_PIXELS, MAX_POINTS
from novacron_collector.api.sql import MAX_STATEMENT
from novacron_contract.metrics import VmState
from novacron_store.state import Freshness

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
NUMBER: Schema = {"type": "number"}
COUNT: Schema = {"type": "integer", "minimum": 0}
FLAG: Schema = {"type": "boolean"}
TIME: Schema = {"type": "string", "format": "date-time"}
LABELS: Schema = {"type": "object", "additionalProperties": TEXT}


def ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _or_null(schema: Schema) -> Schema:
    return {"oneOf": [schema, {"type": "null"}]}


def _list(items: Schema) -> Schema:
    return {"type": "array", "items": items}


def exactly(**properties: Schema) -> Schema:
    """Every property is always there, and there is no other."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def enum(values: Any) -> Schema:
    return {"type": "string", "enum": [str(value) for value in values]}


def _page(name: str, schema: str) -> Schema:
    return exactly(**{name: _list(ref(schema))}, total=COUNT, limit=COUNT, offset=COUNT)


_SEEN = {
    "first_seen": TIME,
    "last_seen": TIME,
    "seen_age_s": NUMBER,
    "freshness": ref("Freshness"),
}
_LIVE = {
    "cpu_utilization": _or_null({**NUMBER, "description": "0 to 1"}),
    "cpu_count": _or_null(NUMBER),
    "memory_usage": _or_null({**NUMBER, "description": "bytes"}),
    "memory_limit": _or_null({**NUMBER, "description": "bytes"}),
    "network_receive": _or_null({**NUMBER, "description": "bytes per second"}),
    "network_transmit": _or_null({**NUMBER, "description": "bytes per second"}),
    "disk_read": _or_null({**NUMBER, "description": "bytes per second"}),
    "disk_write": _or_null({**NUMBER, "description": "bytes per second"}),
}
_HOST = {
    "id": TEXT,
    "name": TEXT,
    "arch": TEXT,
    "os": TEXT,
    "agent": _or_null(TEXT),
    "vms": COUNT,
    **_SEEN,
    **_LIVE,
}
_VM = {
    "id": TEXT,
    "name": TEXT,
    "host": ref("HostName"),
    "provider": _or_null(TEXT),
    "state": enum(VmState),
    "deleted": {**_or_null(TIME), "description": "by a command of ours"},
    **_SEEN,
    **_LIVE,
}
_TIMES = _list({"type": "integer"})
_VALUES = _list(_or_null(NUMBER))
_ASKED = _list(exactly(sql=TEXT, rows=COUNT, seconds=NUMBER))
_DETAIL = {"resource": LABELS, "metrics": _list(ref("LatestValue"))}


def component_schemas() -> dict[str, Schema]:
    counts = exactly(total=COUNT, **{state.value: COUNT for state in Freshness})
    return {
        "Error": exactly(error=TEXT, message=TEXT),
        "Freshness": {
            **enum(Freshness),
            "description": "fresh: at most 3 intervals old; stale: late; gone: 30 or more",
        },
        "HostName": exactly(id=TEXT, name=TEXT),
        "Host": exactly(**_HOST),
        "HostDetail": exactly(**_HOST, **_DETAIL),
        "Hosts": _page("hosts", "Host"),
        "Vm": exactly(**_VM),
        "VmDetail": exactly(**_VM, **_DETAIL, history=_list(ref("VmPeriod"))),
        "Vms": _page("vms", "Vm"),
        "VmPeriod": exactly(since=TIME, until=_or_null(TIME), name=TEXT, host=ref("HostName")),
        "Agent": exactly(
            id=TEXT,
            host=ref("HostName"),
            version=TEXT,
            interval_s=NUMBER,
            clock_offset_s=_or_null({**NUMBER, "description": "its clock minus the collector's"}),
            clock_is_wrong=FLAG,
            last_seen=TIME,
            seen_age_s=NUMBER,
            freshness=ref("Freshness"),
        ),
        "Agents": _page("agents", "Agent"),
        "Status": _status(counts),
        **_telemetry_schemas(),
        **_series_schemas(),
    }


def _status(counts: Schema) -> Schema:
    telemetry = exactly(samples=COUNT, series=COUNT, bytes=COUNT, disk_free=COUNT, disk_total=COUNT)
    return exactly(
        version=TEXT,
        started=TIME,
        uptime_s=NUMBER,
        hosts=counts,
        vms=counts,
        agents=counts,
        telemetry=_or_null(telemetry),
        counters={"type": "object", "additionalProperties": NUMBER},
        notices=_list(exactly(severity=enum(Severity), message=TEXT)),
    )


def _telemetry_schemas() -> dict[str, Schema]:
    line = exactly(attributes=LABELS, ts=_TIMES, values=_VALUES)
    return {
        "Metrics": exactly(metrics=_list(ref("Metric"))),
        "Metric": exactly(
            metric=TEXT,
            kind=TEXT,
            temporality=TEXT,
            monotonic=FLAG,
            unit=TEXT,
            description=TEXT,
        ),
        "LatestValue": exactly(
            metric=TEXT,
            attributes=LABELS,
            unit=TEXT,
            kind=TEXT,
            monotonic=FLAG,
            ts=TIME,
            value=_or_null(NUMBER),
        ),
        "Chart": {
            **exactly(
                metric=TEXT,
                entity=TEXT,
                unit=TEXT,
                kind=TEXT,
                resolution=enum(("raw", "5m", "1h")),
                step_s=NUMBER,
                lines=_list(line),
                **{"from": TIME, "to": TIME},
            ),
            "description": "ts in Unix milliseconds; a counter as its rate per second; null: a gap",
        },
        "Statement": {
            **exactly(
                query={**TEXT, "maxLength": MAX_STATEMENT},
                parameters={"type": "object", "description": "values of {name:Type} placeholders"},
            ),
            "required": ["query"],
        },
        "Rows": exactly(columns=_list(exactly(name=TEXT, type=TEXT)), rows=_list(_list({}))),
    }


def _series_schemas() -> dict[str, Schema]:
    """A question over series, and its answers."""
    return {
        "Question": {
            **exactly(
                expression={
                    "description": "docs/query.md says what it may be: select, "
                    "histogram_quantile, aggregate, smooth, op, or a number"
                },
                step={**NUMBER, "minimum": 0.001, "description": "seconds"},
                points={
                    "type": "integer",
                    "minimum": 1,
                    "maximum": MAX_POINTS,
                    "description": "choose the step where none is given; without these `pixels` "
                    "do, and without either 500 points",
                },
                pixels={
                    "type": "integer",
                    "minimum": 2,
                    "maximum": MAX_PIXELS,
                    "description": "thin each line to so many values: the answer is Lines",
                },
                tags_as_of={**TEXT, "description": "tags of that time, and not of now"},
                explain={**FLAG, "default": False},
                **{"from": {**TEXT, "default": "-1h"}, "to": {**TEXT, "default": "now"}},
            ),
            "required": ["expression"],
        },
        "Series": {
            **exactly(
                step_s=NUMBER,
                resolution=enum(("raw", "5m", "1h")),
                times=_TIMES,
                series=_list(exactly(labels=LABELS, values=_VALUES)),
                asked=_ASKED,
            ),
            "required": ["step_s", "resolution", "times", "series"],
            "description": "times in Unix milliseconds, the same for all series; null: a gap",
        },
        "Lines": {
            **exactly(
                step_s=NUMBER,
                resolution=enum(("raw", "5m", "1h")),
                series=_list(exactly(labels=LABELS, times=_TIMES, values=_VALUES)),
                asked=_ASKED,
            ),
            "required": ["step_s", "resolution", "series"],
            "description": "times in Unix milliseconds, each line's own; null: a gap",
        },
    }
