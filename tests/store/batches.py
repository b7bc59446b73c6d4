"""Batches as the collector makes them, from a few words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pyarrow as pa
import xxhash

from novacron_store.telemetry.batch import SCHEMAS, Batch

Samples = Sequence[tuple[float, float]]  # Unix seconds and value
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Line:
    """One series and its samples as (Unix seconds, value)."""

    metric: str
    entity: str
    samples: Samples
    kind: str = "gauge"
    temporality: str = "unspecified"
    monotonic: bool = False
    attributes: Mapping[str, str] = field(default_factory=dict)
    unit: str = "1"

    @property
    def series(self) -> int:
        """Not the collector's hash, but with the same promise: names are no part of it."""
        identity = (self.metric, self.entity, self.kind, sorted(self.attributes.items()))
        return xxhash.xxh64_intdigest(repr(identity).encode())


def counter(metric: str, entity: str, samples: Samples, **attributes: str) -> Line:
    return Line(metric, entity, samples, "sum", "cumulative", True, attributes, "By")


def at(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def batch(lines: Sequence[Line], resources: Mapping[str, Mapping[str, str]] | None = None) -> Batch:
    """`resources` describes entities: VMs and services by what their resources have, else hosts."""
    tables = {
        "samples": _table("samples", [_sample(ln, *s) for ln in lines for s in ln.samples]),
        "series": _table("series", [_series(ln) for ln in lines]),
        "metrics": _table("metrics", [_metric(ln) for ln in lines]),
    }
    if resources:
        last = max(seconds for ln in lines for seconds, _ in ln.samples)
        rows = [_entity(name, resource, last) for name, resource in resources.items()]
        tables["entities"] = _table("entities", rows)
    return Batch(tables)


def _table(name: str, rows: list[dict[str, object]]) -> pa.Table:
    schema = SCHEMAS[name]
    plain = {
        f.name: f.type.value_type if pa.types.is_dictionary(f.type) else f.type for f in schema
    }
    columns = {column: [row[column] for row in rows] for column in plain}
    return pa.table({c: pa.array(v, plain[c]) for c, v in columns.items()}).cast(schema)


def _key(line: Line) -> dict[str, object]:
    return {"metric": line.metric, "entity": line.entity, "series": line.series}


def _sample(line: Line, seconds: float, value: float) -> dict[str, object]:
    return _key(line) | {"ts": at(seconds), "start_ts": _EPOCH, "value": value}


def _series(line: Line) -> dict[str, object]:
    return _key(line) | {
        "kind": line.kind,
        "temporality": line.temporality,
        "monotonic": line.monotonic,
        "unit": line.unit,
        "attributes": list(line.attributes.items()),
        "attribute_types": [],
        "scope": "test",
        "first_seen": at(min((seconds for seconds, _ in line.samples), default=0)),
    }


def _metric(line: Line) -> dict[str, object]:
    return {
        "metric": line.metric,
        "kind": line.kind,
        "temporality": line.temporality,
        "monotonic": line.monotonic,
        "unit": line.unit,
        "description": f"{line.metric} of a test",
        "seen": at(max((seconds for seconds, _ in line.samples), default=0)),
    }


def _entity_type(resource: Mapping[str, str]) -> str:
    if "vm.id" in resource:
        return "vm"
    return "service" if "service.name" in resource else "host"


def _entity(name: str, resource: Mapping[str, str], seen: float) -> dict[str, object]:
    return {
        "entity": name,
        "entity_type": _entity_type(resource),
        "resource": list(resource.items()),
        "resource_types": [],
        "seen": at(seen),
    }
