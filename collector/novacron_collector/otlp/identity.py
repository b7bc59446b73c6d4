"""What a sample belongs to: the entity behind a resource, and the 64-bit id of a series.

The entity of a guest is `vm.id` alone and of a host `host.id` alone, so that a rename or a
migration leaves its series whole. Any other sender is told apart by its whole resource.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import xxhash

from novacron_collector.otlp.attributes import NO_ATTRIBUTES, Attributes, length_prefixed
from novacron_contract.metrics import HOST_ID, HOST_NAME, VM_ID


@dataclass(frozen=True, slots=True)
class Entity:
    name: str
    type: str  # vm | host | service | other
    identity: bytes  # what of the resource tells its series from those of others


@dataclass(frozen=True)
class Stream:
    """One metric of one scope, before points' attributes split it into series."""

    metric: str
    unit: str
    kind: str  # gauge | sum | histogram | exponential_histogram | summary
    temporality: str = "unspecified"  # unspecified | delta | cumulative
    monotonic: bool = False
    description: str = ""
    scope: str = ""
    scope_attributes: Attributes = NO_ATTRIBUTES

    @cached_property
    def identity(self) -> bytes:
        """All but the description: a better wording starts no new series."""
        monotonic = "monotonic" if self.monotonic else ""
        kind = (self.kind, self.temporality, monotonic)
        scope = (self.scope, self.scope_attributes.canonical)
        return length_prefixed(self.metric, self.unit, *kind, *scope)


def entity_of(resource: Attributes) -> Entity:
    if vm := resource.get(VM_ID):
        return Entity(vm, "vm", length_prefixed("vm", vm))
    if name := _service_name(resource):
        return Entity(name, "service", length_prefixed("service", resource.canonical))
    if host := resource.get(HOST_ID) or resource.get(HOST_NAME):
        return Entity(host, "host", length_prefixed("host", host))
    name = f"resource-{xxhash.xxh3_64_hexdigest(resource.canonical)}"
    return Entity(name, "other", length_prefixed("other", resource.canonical))


def series_id(entity: Entity, stream: Stream, attributes: Attributes) -> int:
    parts = length_prefixed(entity.identity, stream.identity, attributes.canonical)
    return xxhash.xxh3_64_intdigest(parts)


def _service_name(resource: Attributes) -> str:
    service = resource.get("service.name")
    if not service:
        return ""
    instance = (
        resource.get("service.instance.id") or resource.get(HOST_ID) or resource.get(HOST_NAME)
    )
    return "/".join(part for part in (resource.get("service.namespace"), service, instance) if part)
