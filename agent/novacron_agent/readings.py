"""What a scrape yields: readings of machines, each a set of samples under the contract's names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

from novacron_contract.metrics import BY_NAME, HOST_ID, VM_ID, Metric

Value = int | float
Attributes = Mapping[str, str | int | float]

_NONE: Attributes = {}


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """A metric and the attributes that tell its series of one machine apart. Made once and used for
    every sample: it is compared by identity."""

    metric: Metric
    attributes: Attributes = field(default_factory=dict)


def series(name: str, attributes: Attributes = _NONE) -> Series:
    return _series(name, tuple(attributes.items()))


@lru_cache(maxsize=16384)
def _series(name: str, attributes: tuple[tuple[str, str | int | float], ...]) -> Series:
    return Series(BY_NAME[name], dict(attributes))


class Sample(NamedTuple):
    metric: Metric
    value: Value
    attributes: Attributes


@dataclass(slots=True)
class Reading:
    """What one source measured of one machine at one time.

    `start_ns` is since when its counters count (boot, start of the VM); 0 where nobody knows.
    `values` are those of `series`, in their order.
    """

    resource: dict[str, str | float]
    time_ns: int
    start_ns: int = 0
    series: list[Series] = field(default_factory=list)
    values: list[Value] = field(default_factory=list)

    def add(self, name: str, value: Value | None, attributes: Attributes = _NONE) -> None:
        """Add one sample; a value nobody knows (None) is absent, never 0."""
        if value is not None:
            self.series.append(series(name, attributes))
            self.values.append(value)

    @property
    def samples(self) -> list[Sample]:
        return [
            Sample(of.metric, value, of.attributes)
            for of, value in zip(self.series, self.values, strict=True)
        ]


@dataclass(frozen=True, slots=True)
class Group:
    """Metrics that a source measures apart from its others. `seconds` they took, None if they were
    not measured this time; `stuck`: machines that do not answer for them."""

    seconds: float | None
    stuck: int


@dataclass(slots=True)
class Scrape:
    """`failures`: one sentence for each thing that could not be measured."""

    readings: list[Reading] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    groups: dict[str, Group] = field(default_factory=dict)


def machine_of(resource: Mapping[str, str | float]) -> tuple[object, ...]:
    """What tells it from all others."""
    own = tuple(resource.get(name) for name in ("service.name", "service.instance.id", VM_ID))
    return own if any(own) else (HOST_ID, resource.get(HOST_ID))


def by_machine(readings: Iterable[Reading]) -> list[tuple[dict[str, str | float], list[Reading]]]:
    """Group readings so that every machine appears once, with all that is known of it."""
    groups: dict[tuple[object, ...], tuple[dict[str, str | float], list[Reading]]] = {}
    for reading in readings:
        resource = reading.resource
        known, parts = groups.setdefault(machine_of(resource), ({}, []))
        known.update(resource)
        parts.append(reading)
    return list(groups.values())
