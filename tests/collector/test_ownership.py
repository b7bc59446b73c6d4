"""What an agent says of hosts is stored as its own, however it is put."""

from __future__ import annotations

import gzip
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import MetricsData, ResourceMetrics
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from novacron_agent.otlp import Encoder
from novacron_agent.readings import Reading
from novacron_collector.channel.ownership import Owner, Right, host_told, is_owned, owned
from novacron_collector.otlp.decoder import Decoder
from novacron_collector.otlp.json import to_protobuf
from novacron_collector.otlp.limits import PointLimits
from novacron_contract.errors import BadMessage, TooLarge

AGENT = "00000000-0000-4000-8000-000000000001"
OWNER = Owner(AGENT, "h-1")
RIGHT = Right(most=20)  # remembers from one test to the next, as from one request to the next
KEYS = ("host.id", "vm.host.id", "host.name", "vm.id", "service.name", "service.instance.id", "x")
VALUES = ("h-1", "h-2", AGENT, "novacron-agent", "")


def of(*attributes: tuple[str, Any]) -> bytes:
    message = MetricsData()
    part = message.resource_metrics.add()
    for key, value in attributes:
        one = part.resource.attributes.add(key=key).value
        if isinstance(value, str):
            one.string_value = value
        elif isinstance(value, bytes):
            one.bytes_value = value
        else:
            one.int_value = value
    gauge = part.scope_metrics.add().metrics.add(name="cpu").gauge
    gauge.data_points.add(as_int=1, time_unix_nano=time.time_ns())
    return bytes(message.SerializeToString())


def told(body: bytes) -> list[dict[str, Any]]:
    """By the decoder that stores it: the resource of each entity."""
    decoder = Decoder(PointLimits(), 7 * 86400, 100_000)
    return [dict(one.resource.texts) for one in decoder.decode([body], time.time()).sightings]


def stored(body: bytes, owner: Owner = OWNER) -> bytes:
    return body if is_owned(body, owner, RIGHT) else owned(body, owner)


def says_nothing_of_others(body: bytes) -> None:
    for resource in told(body):
        assert resource.get("host.id", "h-1") == "h-1"
        assert resource.get("vm.host.id", "h-1") == "h-1"
        if resource.get("service.name") == "novacron-agent":
            assert resource["service.instance.id"] == AGENT
        if "host.name" in resource and not resource.get("vm.id"):
            assert resource["host.id"] == "h-1"


# -- what agents send -----------------------------------------------------------------------------


def test_what_an_agent_sends_is_right_and_stays_as_it_is() -> None:
    now = time.time_ns()
    itself: dict[str, str | float] = {"service.name": "novacron-agent", "host.id": "h-1"}
    itself["service.instance.id"] = AGENT
    readings = [
        Reading({"host.id": "h-1", "host.name": "kvm-7"}, now),
        Reading({"vm.id": "v-1", "vm.name": "web", "vm.host.id": "h-1", "vm.host.name": "k"}, now),
        Reading(itself, now),
    ]
    for reading in readings:
        reading.add("novacron.agent.scrape.errors", 0, {"novacron.source": "host"})
    for request in Encoder("0.1.0").encode(readings):
        body = gzip.decompress(request.body)
        assert is_owned(body, OWNER, RIGHT)
        assert is_owned(MetricsData.FromString(body).SerializeToString(), OWNER, RIGHT)
        assert not is_owned(body, Owner(AGENT, "h-2"), RIGHT)
        assert not is_owned(body, Owner("another", "h-1"), RIGHT)


def test_who_says_nothing_of_hosts_is_not_looked_at() -> None:
    assert is_owned(of(("service.name", "shop")), OWNER, RIGHT)
    assert is_owned(b"\xff nonsense", OWNER, RIGHT)


# -- what others try ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "attributes",
    [
        [("host.id", "h-2")],
        [("vm.host.id", "h-2"), ("vm.id", "v-1")],
        [("host.id", "h-1"), ("host.id", "h-2")],
        [("host.id", "h-2"), ("host.id", "h-1")],
        [("host.id", 7)],
        [("host.id", b"h-2")],
        [("host.name", "h-2")],
        [("host.name", "h-2"), ("service.name", "x")],
        [("host.id", "")],
        [("host.id", "h-1" + "x" * 200)],
        [("service.name", "novacron-agent"), ("service.instance.id", "another")],
        [("service.name", "novacron-agent")],
    ],
)
def test_another_host_becomes_ones_own(attributes: list[tuple[str, Any]]) -> None:
    body = of(*attributes)
    assert not is_owned(body, OWNER, RIGHT)
    ours = owned(body, OWNER)
    assert is_owned(ours, OWNER, RIGHT)
    says_nothing_of_others(ours)
    assert len(told(ours)) == 1


def test_a_key_within_what_looks_like_another_field_is_found() -> None:
    """A request whose bytes hold the right attribute, where no reader sees it."""
    right = KeyValue(key="host.id")
    right.value.string_value = "h-1"
    wrong = KeyValue(key="host.id")
    wrong.value.string_value = "h-2"
    hidden = right.SerializeToString() + wrong.SerializeToString()  # the last value counts
    assert hidden.startswith(right.SerializeToString())
    as_field = b"\x0a" + bytes([len(hidden)]) + hidden
    resource = b"\x0a" + bytes([len(as_field)]) + as_field
    metrics = MetricsData.FromString(of()).resource_metrics[0].SerializeToString()
    part = resource + metrics
    body = b"\x0a" + bytes([len(part)]) + part
    assert Resource.FromString(as_field).attributes[0].value.string_value == "h-2"
    assert not is_owned(body, OWNER, RIGHT)
    says_nothing_of_others(stored(body))


KEY, HOST_KEY = b"\x0a\x03foo", b"\x0a\x07host.id"
OURS, THEIRS = b"\x12\x05\x0a\x03h-1", b"\x12\x05\x0a\x03h-2"


@pytest.mark.parametrize(
    "fields",
    [
        [KEY, THEIRS, HOST_KEY],
        [KEY, HOST_KEY, THEIRS],
        [HOST_KEY, OURS, THEIRS],
        [KEY, OURS, HOST_KEY, THEIRS],
        [KEY, OURS, THEIRS, HOST_KEY],
        [THEIRS, HOST_KEY],
        [THEIRS, KEY, HOST_KEY],
    ],
)
def test_of_fields_that_come_twice_or_in_another_order_the_last_is_looked_at(
    fields: list[bytes],
) -> None:
    attribute = b"".join(fields)
    resource = b"\x0a" + bytes([len(attribute)]) + attribute
    metrics = MetricsData.FromString(of()).resource_metrics[0].SerializeToString()
    part = b"\x0a" + bytes([len(resource)]) + resource + metrics
    body = b"\x0a" + bytes([len(part)]) + part
    assert told(body) == [{"host.id": "h-2"}]
    assert not is_owned(body, OWNER, RIGHT)
    assert told(stored(body)) == [{"host.id": "h-1"}]


def test_what_is_sent_twice_is_merged_as_readers_do() -> None:
    first, second = (MetricsData.FromString(of(("host.id", h))) for h in ("h-1", "h-2"))
    parts = [one.resource_metrics[0].SerializeToString() for one in (first, second)]
    assert ResourceMetrics.FromString(b"".join(parts)).resource.attributes[1].key == "host.id"
    joined = b"".join(parts)
    body = b"\x0a" + bytes([len(joined)]) + joined
    assert not is_owned(body, OWNER, RIGHT)
    says_nothing_of_others(stored(body))


def test_until_its_host_is_known_nothing_is_said_of_hosts() -> None:
    owner = Owner(AGENT, None)
    itself = [("service.name", "novacron-agent"), ("service.instance.id", AGENT)]
    body = of(*itself, ("host.id", "h-2"), ("host.name", "kvm-7"))
    assert host_told(body) is None
    assert told(stored(body, owner)) == [dict(itself)]
    assert host_told(of(("host.id", "h-9"), ("host.name", "kvm-9"))) == "h-9"
    assert host_told(of(("vm.host.id", "h-9"), ("vm.id", "v-1"))) == "h-9"


def test_what_is_no_otlp_or_too_large_is_refused() -> None:
    with pytest.raises(BadMessage, match="not an OTLP metrics request"):
        stored(b"\x0a\x05host.id")
    with pytest.raises(TooLarge, match="send at most 2097152 bytes at a time"):
        stored(of(("host.id", "h-2"), ("x", "x" * 2**21)))


def test_json_is_looked_at_as_what_it_becomes() -> None:
    key = '"\\u0068ost.id"'
    attribute = f'{{"key": {key}, "value": {{"stringValue": "h-2"}}}}'
    point = f'{{"asInt": 1, "timeUnixNano": "{time.time_ns()}"}}'
    metrics = f'{{"name": "cpu", "gauge": {{"dataPoints": [{point}]}}}}'
    scope = f'"scopeMetrics": [{{"metrics": [{metrics}]}}]'
    text = f'{{"resourceMetrics": [{{"resource": {{"attributes": [{attribute}]}}, {scope}}}]}}'
    body = to_protobuf(text.encode())
    assert told(body) == [{"host.id": "h-2"}]
    assert told(stored(body)) == [{"host.id": "h-1"}]


# -- anything -------------------------------------------------------------------------------------

value = st.one_of(st.sampled_from(VALUES), st.integers(0, 300), st.binary(max_size=4))
attributes = st.lists(st.tuples(st.sampled_from(KEYS), value), max_size=6)


def longer(length: int, extra: int) -> bytes:
    """A varint, with as many bytes more than it needs."""
    parts = []
    while length > 0x7F or extra:
        parts.append(length & 0x7F | 0x80)
        length >>= 7
        extra -= length == 0 and extra > 0
    return bytes([*parts, length])


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    """Requests in which lengths are longer than need be, parts come twice and in another order,
    other keys and values with them, and unknown fields stand between."""
    extra = st.integers(0, 2)

    def field(tag: int, content: bytes) -> bytes:
        return bytes([tag]) + longer(len(content), draw(extra)) + content

    def pair(key: str, told: object) -> list[bytes]:
        whole = MetricsData.FromString(of((key, told))).resource_metrics[0].resource
        inner = whole.attributes[0].value.SerializeToString()
        return [field(0x0A, key.encode()), field(0x12, inner)]

    def one(key: str, told: object) -> bytes:
        parts = pair(key, told)
        others = pair(*draw(st.tuples(st.sampled_from(KEYS), value)))
        any_field = st.sampled_from([*parts, *others, field(0x7A, b"host.id")])
        if draw(st.booleans()):
            return field(0x0A, b"".join(draw(st.lists(any_field, max_size=4))))
        parts += draw(st.lists(any_field, max_size=2))
        return field(0x0A, b"".join(draw(st.permutations(parts))))

    def resource() -> bytes:
        return field(0x0A, b"".join(one(key, told) for key, told in draw(attributes)))

    metrics = MetricsData.FromString(of()).resource_metrics[0].scope_metrics[0].SerializeToString()
    wholes = []
    for _ in range(draw(st.integers(1, 3))):
        parts = [resource() for _ in range(draw(st.integers(0, 2)))] + [field(0x12, metrics)]
        wholes.append(field(0x0A, b"".join(draw(st.permutations(parts)))))
    return b"".join(wholes)


@settings(max_examples=400)
@given(bodies())
def test_whatever_is_sent_no_resource_is_another_hosts(body: bytes) -> None:
    try:
        ours = stored(body)
    except BadMessage:
        return
    says_nothing_of_others(ours)


@settings(max_examples=300)
@given(bodies(), st.data())
def test_bytes_that_were_changed_let_nothing_through(body: bytes, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(body) - 1))
    changed = body[:at] + bytes([data.draw(st.integers(0, 255))]) + body[at + 1 :]
    try:
        ours = stored(changed)
    except (BadMessage, TooLarge):
        return
    says_nothing_of_others(ours)
