"""Whose telemetry it is: what an agent says of hosts is made its own.

Nearly every request is right already, and one look at its resources' bytes says so; that look takes
nothing but the plainest form, in which every reader finds the same. All else is decoded, rewritten
and encoded.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from google.protobuf.message import DecodeError
from opentelemetry.proto.metrics.v1.metrics_pb2 import MetricsData

from novacron_contract.errors import BadMessage, TooLarge
from novacron_contract.metrics import (
    AGENT_SERVICE_NAME,
    HOST_ID,
    HOST_NAME,
    VM_HOST_ID,
    VM_ID,
)

_LARGEST = 2 * 2**20  # bytes of a request that is rewritten: decoded it takes a hundred times that
_SERVICE, _INSTANCE = "service.name", "service.instance.id"
_NAMED = {HOST_ID, VM_HOST_ID}
_ABOUT_HOSTS = (b"host.id", HOST_NAME.encode(), AGENT_SERVICE_NAME.encode())
_VM_ID, _HOST_NAME = VM_ID.encode(), HOST_NAME.encode()
_AGENT = AGENT_SERVICE_NAME.encode()
_SUBMESSAGE, _SECOND, _THIRD = 0x0A, 0x12, 0x1A  # tags of fields 1, 2, 3 with a length
_MAX_VARINT = 5


@dataclass(frozen=True, slots=True)
class Owner:
    """`host_id` None: not known yet, then nothing is said of hosts."""

    agent_id: str
    host_id: str | None


class _Odd(Exception):
    """Not the plainest form, or not what it ought to say."""


class Right:
    """Resources that were right, and whose: nearly all come again with the next request."""

    def __init__(self, most: int = 20_000, longest: int = 1024) -> None:
        self._most, self._longest = most, longest
        self._whose: dict[bytes, str] = {}

    def is_of(self, resource: bytes, whose: str) -> bool:
        return self._whose.get(resource) == whose

    def keep(self, resource: bytes, whose: str) -> None:
        if len(resource) <= self._longest:
            if len(self._whose) >= self._most:
                self._whose.clear()
            self._whose[resource] = whose


def is_owned(body: bytes, owner: Owner, right: Right) -> bool:
    """Whether a request says of hosts what its owner may say, for sure."""
    if not any(word in body for word in _ABOUT_HOSTS):
        return True
    if owner.host_id is None:
        return False
    whose = f"{owner.agent_id}/{owner.host_id}"
    try:
        for resource in _resources(body):
            if not right.is_of(resource, whose):
                _check(resource, owner.host_id.encode(), owner.agent_id.encode())
                right.keep(resource, whose)
    except (_Odd, IndexError):
        return False
    return True


def host_told(body: bytes) -> str | None:
    """The host that a request is of, in its own words: of a machine, or of its guests."""
    for told in map(_attributes, _decoded(body).resource_metrics):
        host = told.get(VM_HOST_ID) or (HOST_ID in told and _SERVICE not in told and told[HOST_ID])
        if host:
            return str(host)
    return None


def owned(body: bytes, owner: Owner) -> bytes:
    """The request as its owner may say it.

    Raises:
        BadMessage: it is not OTLP.
        TooLarge: it is too large to be rewritten.
    """
    message = _decoded(body)
    for part in message.resource_metrics:
        _rewrite(part.resource, owner)
    return bytes(message.SerializeToString())


# -- the plainest form ----------------------------------------------------------------------------


def _resources(body: bytes) -> Iterator[bytes]:
    """Of each ResourceMetrics: the resource first and once, then scopes and a schema's URL."""
    at = 0
    while at < len(body):
        if body[at] != _SUBMESSAGE:
            raise _Odd
        size, at = _length(body, at + 1)
        end = at + size
        if at < end and body[at] == _SUBMESSAGE:
            size, at = _length(body, at + 1)
            yield body[at : at + size]
            at += size
        while at < end:
            if body[at] not in (_SECOND, _THIRD):
                raise _Odd
            size, at = _length(body, at + 1)
            at += size
        if at != end or end > len(body):
            raise _Odd


def _check(resource: bytes, host_id: bytes, agent_id: bytes) -> None:
    told: dict[bytes, bytes] = {}
    at, end = 0, len(resource)
    while at < end:
        if resource[at] != _SUBMESSAGE:
            raise _Odd
        size, at = _length(resource, at + 1)
        stop = at + size
        if resource[at] != _SUBMESSAGE:
            raise _Odd
        size, at = _length(resource, at + 1)
        key = resource[at : at + size]
        at += size
        if key in told or at >= stop or stop > end:
            raise _Odd
        told[key] = _only_value(resource[at:stop])
        at = stop
    expected = _value(host_id)
    if told.get(b"host.id", expected) != expected or told.get(b"vm.host.id", expected) != expected:
        raise _Odd
    is_vm = _text(told.get(_VM_ID)) != b""
    if _HOST_NAME in told and b"host.id" not in told and not is_vm:
        raise _Odd
    is_agent = _text(told.get(b"service.name")) == _AGENT
    if is_agent and told.get(b"service.instance.id") != _value(agent_id):
        raise _Odd


def _only_value(rest: bytes) -> bytes:
    """What follows an attribute's key, which is its value and nothing else: of a field that came
    twice, the key too, readers take the last."""
    if rest[0] != _SECOND:
        raise _Odd
    size, at = _length(rest, 1)
    if at + size != len(rest):
        raise _Odd
    return rest


def _value(text: bytes) -> bytes:
    """The field `value` of an attribute that is text."""
    if len(text) > 100:
        raise _Odd
    return b"\x12%c\x0a%c%b" % (len(text) + 2, len(text), text)


def _text(value: bytes | None) -> bytes:
    """What an attribute says that is text in its plainest form."""
    if value is None:
        return b""
    text = value[4:]
    if value != _value(text):
        raise _Odd
    return text


def _length(body: bytes, at: int) -> tuple[int, int]:
    """A length, and where what has it begins."""
    size = body[at]
    at += 1
    if size < 0x80:
        return size, at
    size &= 0x7F
    for shift in range(7, 7 * _MAX_VARINT, 7):
        byte = body[at]
        at += 1
        size |= (byte & 0x7F) << shift
        if byte < 0x80:
            return size, at
    raise _Odd


# -- any form -------------------------------------------------------------------------------------


def _decoded(body: bytes) -> MetricsData:
    if len(body) > _LARGEST:
        why = "what a request says of hosts is to be put right, and that takes a smaller one"
        raise TooLarge(f"{why}: send at most {_LARGEST} bytes at a time")
    try:
        message: MetricsData = MetricsData.FromString(body)
    except DecodeError as err:
        raise BadMessage(f"not an OTLP metrics request: {err}") from err
    return message


def _attributes(part: Any) -> dict[str, str]:
    return {one.key: one.value.string_value for one in part.resource.attributes}


def _rewrite(resource: Any, owner: Owner) -> None:
    attributes = [(one.key, one.value.string_value) for one in resource.attributes]
    told = dict(attributes)
    is_agent = (_SERVICE, AGENT_SERVICE_NAME) in attributes  # perhaps one of several
    is_vm = VM_ID in told and (VM_ID, "") not in attributes
    kept = [one for one in resource.attributes if one.key not in _NAMED]
    if is_agent:
        kept = [one for one in kept if one.key != _INSTANCE]
    named = {name: owner.host_id for name in _NAMED if name in told}
    if HOST_NAME in told and not is_vm:
        named[HOST_ID] = owner.host_id
        if owner.host_id is None:  # a name would be taken for the host
            kept = [one for one in kept if one.key != HOST_NAME]
    if is_agent:
        named[_INSTANCE] = owner.agent_id
    fresh = type(resource)(dropped_attributes_count=resource.dropped_attributes_count)
    fresh.attributes.extend(kept)
    for name, text in named.items():
        if text is not None:
            fresh.attributes.add(key=name).value.string_value = text
    resource.CopyFrom(fresh)
