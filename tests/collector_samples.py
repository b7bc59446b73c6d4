"""What collectors reported of themselves, as it is in a store."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import uuid4

from clickhouse_connect.driver.client import Client

from novacron_contract.collector_metrics import (
    COLLECTOR_BY_NAME,
    COLLECTOR_SERVICE_NAME,
    OUTCOME,
    REASON,
    TABLE,
)
from novacron_contract.metrics import Kind
from novacron_store.telemetry.writer import write
from store.batches import Line, batch

STEP_S = 10
MIB = 1024.0**2
_FLAT = {
    "novacron.collector.log.size": 3 * MIB,
    "novacron.collector.log.limit": 4096 * MIB,
    "novacron.collector.log.lag": 1.2,
    "novacron.collector.series": 1234.0,
    "process.memory.usage": 200 * MIB,
}
_PER_SECOND: tuple[tuple[str, dict[str, str], float], ...] = (
    ("novacron.collector.point.count", {}, 12_000.0),
    ("novacron.collector.request.count", {OUTCOME: "accepted"}, 6.0),
    ("novacron.collector.request.count", {OUTCOME: "refused"}, 0.0),
    ("novacron.collector.request.refused", {REASON: "log_full"}, 0.0),
    ("novacron.collector.point.rejected", {REASON: "too_old"}, 0.0),
    ("novacron.collector.point.rejected", {REASON: "infinite"}, 0.0),
    ("process.cpu.time", {"cpu.mode": "user"}, 0.2),
    ("process.cpu.time", {"cpu.mode": "system"}, 0.05),
)


def stored_collector(
    client: Client,
    host: str,
    *,
    silent_s: float = 0,
    rejected: float = 0,
    version: str = "0.1.0",
    tables: int = 0,
) -> str:
    """Ten minutes of a collector on `host` that ended `silent_s` ago; its id. `rejected`: points
    too old, per second. `tables`: table-1 has one part in the store, table-2 two, and so on."""
    instance = str(uuid4())
    entity = f"{COLLECTOR_SERVICE_NAME}/{instance}"
    resource = {
        "service.name": COLLECTOR_SERVICE_NAME,
        "service.instance.id": instance,
        "service.version": version,
        "host.name": host,
    }
    end = datetime.now(UTC).timestamp() - silent_s
    times = [end - STEP_S * back for back in range(60, -1, -1)]
    lines = [_line(name, entity, {}, [(t, value) for t in times]) for name, value in _FLAT.items()]
    lines += [
        _line("novacron.collector.store.parts", entity, {TABLE: f"table-{n}"}, [(end, n)])
        for n in range(1, tables + 1)
    ]
    for name, attributes, each in _PER_SECOND:
        per_second = rejected if attributes.get(REASON) == "too_old" else each
        samples = [(t, per_second * STEP_S * n) for n, t in enumerate(times)]
        lines.append(_line(name, entity, attributes, samples))
    write(client, batch(lines, {entity: resource}), token=instance)
    return instance


def _line(
    name: str, entity: str, attributes: dict[str, str], samples: list[tuple[float, float]]
) -> Line:
    metric = COLLECTOR_BY_NAME[name]
    if metric.kind is Kind.GAUGE:
        return Line(name, entity, samples, attributes=attributes, unit=metric.unit)
    is_counter = metric.kind is Kind.COUNTER
    return Line(
        name, entity, samples, "sum", "cumulative", is_counter, attributes, unit=metric.unit
    )
