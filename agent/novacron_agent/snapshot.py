"""`novacron-agent --once`: what would be sent, for people and for programs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from novacron_agent.readings import Reading, Sample, Value, by_machine
from novacron_contract.metrics import HOST_NAME, VM_NAME
from novacron_contract.units import readable


def as_json(readings: Iterable[Reading]) -> str:
    """A list of machines; every sample under its metric's name with unit, value, attributes."""
    machines = [
        {"resource": resource, "metrics": [_entry(r, s) for r in group for s in r.samples]}
        for resource, group in by_machine(readings)
    ]
    return json.dumps(machines, indent=2)


def as_table(readings: Iterable[Reading]) -> str:
    """One block per machine: metric, what it is of, value."""
    return "\n\n".join(
        "\n".join(_block(resource, group)) for resource, group in by_machine(readings)
    )


def _entry(reading: Reading, sample: Sample) -> dict[str, Any]:
    return {
        "name": sample.metric.name,
        "unit": sample.metric.unit,
        "kind": str(sample.metric.kind),
        "attributes": dict(sample.attributes),
        "value": sample.value,
        "time_unix_nano": reading.time_ns,
    }


def _block(resource: dict[str, str | float], group: list[Reading]) -> Iterator[str]:
    title = f"VM {resource[VM_NAME]}" if VM_NAME in resource else f"Host {resource[HOST_NAME]}"
    yield _printable(title)
    yield "  " + _printable(", ".join(f"{name}={value}" for name, value in resource.items()))
    rows = [
        (s.metric.name, _of(s), _human(s.value, s.metric.unit)) for r in group for s in r.samples
    ]
    widths = [max((len(row[i]) for row in rows), default=0) for i in range(3)]
    for name, of, value in rows:
        yield f"  {name:<{widths[0]}}  {of:<{widths[1]}}  {value:>{widths[2]}}"


def _of(sample: Sample) -> str:
    return _printable(" ".join(str(value) for value in sample.attributes.values()))


def _printable(text: str) -> str:
    """A guest's name must not move the operator's cursor."""
    return "".join(c if c.isprintable() else "?" for c in text)


def _human(value: Value, unit: str) -> str:
    return str(value) if isinstance(value, int) and unit == "1" else readable(value, unit)
