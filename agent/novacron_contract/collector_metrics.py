"""The metrics a collector sends of itself: names, units, kinds, attributes.

The entity is the collector: `novacron-collector/` and its `service.instance.id`. What every process
has is `process.*` (OpenTelemetry semantic conventions). Requests and points are those of senders:
what a collector reports of itself is not among them.
"""

from __future__ import annotations

from novacron_contract.metrics import Kind, Metric

COLLECTOR_SERVICE_NAME = "novacron-collector"  # service.name of a collector's resource
OUTCOME, REASON, TABLE = "novacron.outcome", "novacron.reason", "novacron.table"

_G, _C, _U, _H = Kind.GAUGE, Kind.COUNTER, Kind.UPDOWN, Kind.HISTOGRAM
_P = "novacron.collector."


def _m(name: str, unit: str, kind: Kind, description: str, *attributes: str) -> Metric:
    return Metric(name, unit, kind, attributes, description)


INTAKE_METRICS: tuple[Metric, ...] = (
    _m(
        f"{_P}request.count",
        "{request}",
        _C,
        "Requests by outcome: accepted, repeated, refused, undecodable",
        OUTCOME,
    ),
    _m(f"{_P}request.refused", "{request}", _C, "Refused requests by reason", REASON),
    _m(f"{_P}request.active", "{request}", _U, "Requests in hand"),
    _m(f"{_P}point.count", "{point}", _C, "Points that were taken and are in the log"),
    _m(
        f"{_P}point.rejected",
        "{point}",
        _C,
        "Points of accepted requests that were not taken, by reason",
        REASON,
    ),
    _m(
        f"{_P}inventory.disputed",
        "{claim}",
        _C,
        "What senders without an agent's identity told of machines otherwise than their agents",
    ),
    _m(f"{_P}series", "{series}", _U, "Series the decoder knows"),
    _m(f"{_P}live.clients", "{client}", _U, "Clients of the live feed"),
    _m(
        f"{_P}loop.delay",
        "s",
        _G,
        "How long the event loop let a callback wait, at worst since the last report",
    ),
)

LOG_METRICS: tuple[Metric, ...] = (
    _m(f"{_P}log.size", "By", _U, "What waits in the write-ahead log for the store"),
    _m(f"{_P}log.limit", "By", _U, "What may wait there"),
    _m(f"{_P}log.segments", "{segment}", _U, "Segments that wait there"),
    _m(
        f"{_P}log.lag",
        "s",
        _G,
        "How long the oldest of it waited, at worst since the last report",
    ),
    _m(f"{_P}log.set_aside", "{segment}", _U, "Damaged segments that are kept for a person"),
    _m(f"{_P}log.append.duration", "s", _H, "Time to have a group of requests on disk"),
    _m(f"{_P}ledger.entries", "{request}", _U, "Requests that would be known if sent again"),
)

STORE_METRICS: tuple[Metric, ...] = (
    _m(f"{_P}write.duration", "s", _H, "Time to have a segment in the store"),
    _m(f"{_P}write.rows", "{point}", _H, "Points of a segment that was written"),
    _m(f"{_P}write.failures", "{failure}", _C, "Segments that the store did not take, each time"),
    _m(f"{_P}rollup.lag", "s", _G, "Time since the end of the newest bucket of 5 minutes"),
    _m(f"{_P}store.parts", "{part}", _U, "Active parts of the store's tables", TABLE),
    _m(f"{_P}store.rows", "{row}", _U, "Rows in them, before equal ones collapse", TABLE),
    _m(f"{_P}store.size", "By", _U, "Their size on disk", TABLE),
    _m(f"{_P}store.free", "By", _U, "Free space of the store's disk"),
    _m(f"{_P}store.merges", "{merge}", _U, "Merges that run in the store"),
)

PROCESS_METRICS: tuple[Metric, ...] = (
    _m("process.cpu.time", "s", _C, "CPU time of the process by mode", "cpu.mode"),
    _m("process.memory.usage", "By", _U, "Its resident memory"),
    _m("process.unix.file_descriptor.count", "{file_descriptor}", _U, "Its open files"),
    _m("process.thread.count", "{thread}", _U, "Its threads"),
    _m("process.uptime", "s", _G, "Time since it started"),
)

COLLECTOR_METRICS = INTAKE_METRICS + LOG_METRICS + STORE_METRICS + PROCESS_METRICS
COLLECTOR_BY_NAME: dict[str, Metric] = {metric.name: metric for metric in COLLECTOR_METRICS}
