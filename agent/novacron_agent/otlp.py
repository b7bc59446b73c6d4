"""Readings -> OTLP requests, gzipped. Forms are kept: few are new at a tick."""

from __future__ import annotations

import logging
import struct
import zlib
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

from novacron_agent.otlp_form import Form, joined
from novacron_agent.readings import Reading, by_machine
from novacron_contract.metrics import AGENT_SERVICE_NAME
from novacron_otlp.wire import field, key_values, text

T = TypeVar("T")
log = logging.getLogger(__name__)

_REQUEST_BYTES = 1024**2  # before compression; a receiver may refuse more than a few MiB
_COMPRESSION = 1  # the next level takes twice the CPU for a tenth fewer bytes
_GZIP = 31  # zlib's word for gzip's header
_REMEMBERED = 60  # ticks that a form is kept for without being used, at least

# Numbers of fields: of ResourceMetrics, of ScopeMetrics and its scope, of Resource, of a request.
_RESOURCE, _SCOPE_METRICS = 1, 2
_SCOPE, _NAME, _VERSION = 1, 1, 2
_ATTRIBUTES = 1
_RESOURCE_METRICS = 1


@dataclass(frozen=True, slots=True)
class Request:
    """The body of one POST to /v1/metrics; `first_ns` to `last_ns` are its points' times."""

    body: bytes
    points: int
    first_ns: int
    last_ns: int


class Encoder:
    """Every machine's readings under one resource, in as few requests as their size allows."""

    def __init__(self, version: str) -> None:
        scope = text(_NAME, AGENT_SERVICE_NAME) + text(_VERSION, version)
        self._scope = field(_SCOPE, scope)
        self._forms = _Remembered[Form]()
        self._resources = _Remembered[bytes]()

    def encode(self, readings: Iterable[Reading]) -> list[Request]:
        requests: list[Request] = []
        parts, size, within = list[bytes](), 0, list[Reading]()
        for resource, group in by_machine(readings):
            measured = [reading for reading in group if reading.series]
            if not measured:
                continue
            # OTLP messages can be joined: each machine is encoded alone and is never split
            try:
                part = self._machine(resource, measured)
            except (struct.error, ValueError, OverflowError):
                log.warning("a reading cannot be sent: %.200r", resource, exc_info=True)
                continue
            if parts and size + len(part) > _REQUEST_BYTES:
                requests.append(_request(parts, within))
                parts, size, within = [], 0, []
            parts.append(part)
            size += len(part)
            within += measured
        self._forms.age()
        self._resources.age()
        return [*requests, _request(parts, within)] if parts else requests

    def _machine(self, resource: dict[str, str | float], readings: list[Reading]) -> bytes:
        head = self._resources.get(tuple(resource.items()), lambda: _resource(resource))
        scope = self._scope + self._metrics(readings)
        return field(_RESOURCE_METRICS, head + field(_SCOPE_METRICS, scope))

    def _metrics(self, readings: list[Reading]) -> bytes:
        """Each metric once. Two readings have the same one when the first comes late, or is of
        another part; then in the order of time: Prometheus refuses what is older than its last."""
        forms = [self._form(reading) for reading in readings]
        if not _overlap(forms):
            return b"".join(map(Form.filled, forms, readings))
        return joined(sorted(readings, key=lambda reading: reading.time_ns))

    def _form(self, reading: Reading) -> Form:
        types = tuple(map(type, reading.values))
        started = reading.start_ns > 0
        key = (tuple(reading.series), types, started)
        return self._forms.get(key, lambda: Form(reading.series, types, started=started))


class _Remembered(Generic[T]):
    """What is made once, and forgotten when it was not asked for in a while."""

    def __init__(self) -> None:
        self._young: dict[Hashable, T] = {}
        self._old: dict[Hashable, T] = {}
        self._age = 0

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        known = self._young.get(key)
        if known is None:
            known = self._old.pop(key, None)
            known = self._young[key] = make() if known is None else known
        return known

    def age(self) -> None:
        self._age += 1
        if self._age % _REMEMBERED == 0:
            self._old, self._young = self._young, {}


def _overlap(forms: list[Form]) -> bool:
    names = [form.names for form in forms]
    return len(names) > 1 and len(names[0].union(*names[1:])) < sum(map(len, names))


def _request(parts: list[bytes], readings: list[Reading]) -> Request:
    gzip = zlib.compressobj(_COMPRESSION, zlib.DEFLATED, _GZIP)
    body = gzip.compress(b"".join(parts)) + gzip.flush()
    points = sum(len(reading.values) for reading in readings)
    times = [reading.time_ns for reading in readings]
    return Request(body, points, min(times), max(times))


def _resource(attributes: dict[str, str | float]) -> bytes:
    return field(_RESOURCE, key_values(_ATTRIBUTES, attributes))
