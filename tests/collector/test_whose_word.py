"""Requests of agents with an identity and of others, decoded together, are told apart."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric, MetricsData

from novacron_collector.otlp.decoded import Sighting
from novacron_collector.otlp.decoder import Decoder
from novacron_collector.otlp.limits import PointLimits
from otlp_messages import NOW_S

_Said = tuple[str, str, int]  # a VM, its team, seconds after NOW_S
_Request = tuple[bool, list[_Said]]  # is it of an agent with an identity, and what it says


def body(said: list[_Said], odd: bool = False) -> bytes:
    """`odd`: so that the plain decoder reads it."""
    data = MetricsData()
    for vm, team, seconds in said:
        part = data.resource_metrics.add()
        for key, value in (("vm.id", vm), ("team", team)):
            part.resource.attributes.add(key=key).value.string_value = value
        gauge = part.scope_metrics.add().metrics.add(name="cpu").gauge
        gauge.data_points.add(as_double=seconds, time_unix_nano=int((NOW_S + seconds) * 1e9))
    text = bytes(data.SerializeToString())
    return text + _TWO_OF_A_ONEOF if odd else text


def _two_of_a_oneof() -> bytes:
    """A request that the fast path leaves to the plain decoder."""
    both = b""
    for kind in ("gauge", "sum"):
        metric = Metric(name="odd")
        getattr(metric, kind).data_points.add(as_int=1, time_unix_nano=int(NOW_S * 1e9))
        both += bytes(metric.SerializeToString())
    for tag in (0x12, 0x12, 0x0A):  # of metrics, scope_metrics, resource_metrics
        both = bytes([tag, len(both)]) + both
    return both


_TWO_OF_A_ONEOF = _two_of_a_oneof()


def decoder() -> Decoder:
    return Decoder(PointLimits(), 7 * 86400, 1000)


def words(sightings: list[Sighting], proven: list[bool]) -> dict[tuple[bool, str, str], int]:
    """By whether it is proven, the VM and its team: seconds after NOW_S."""
    found: dict[tuple[bool, str, str], int] = {}
    for seen in sightings:
        if seen.entity.type == "vm":
            word = (proven[seen.request], seen.entity.name, dict(seen.resource.texts)["team"])
            found[word] = max(found.get(word, 0), round(seen.newest / 1000 - NOW_S))
    return found


@pytest.mark.parametrize("odd", [False, True])
@pytest.mark.parametrize("agent_first", [True, False])
@pytest.mark.parametrize(("agents", "others"), [(1, 5), (5, 1), (3, 3)])
def test_the_same_resource_of_both_is_two_words(
    agents: int, others: int, agent_first: bool, odd: bool
) -> None:
    some = decoder()
    for _ in range(4):  # what was read before is read another way
        said = [(True, agents), (False, others)][:: 1 if agent_first else -1]
        proven = [one for one, _ in said]
        decoded = some.decode([body([("a", "web", s)], odd) for _, s in said], NOW_S, proven)
        assert words(decoded.sightings, proven) == {
            (True, "a", "web"): agents,
            (False, "a", "web"): others,
        }


def test_it_holds_beside_a_request_that_cannot_be_read() -> None:
    bodies = [body([("a", "web", 9)]), b"no OTLP", body([("a", "web", 1)])]
    proven = [False, True, True]
    decoded = decoder().decode(bodies, NOW_S, proven)
    assert words(decoded.sightings, proven) == {(True, "a", "web"): 1, (False, "a", "web"): 9}


def test_without_word_of_it_nobody_is_an_agent() -> None:
    decoded = decoder().decode([body([("a", "web", 1)]), body([("a", "web", 2)])], NOW_S)
    (seen,) = decoded.sightings
    assert seen.request == 1


_SAID = st.tuples(st.sampled_from("ab"), st.sampled_from(["web", "db"]), st.integers(0, 4))
_REQUESTS = st.lists(st.tuples(st.booleans(), st.lists(_SAID, max_size=3)), min_size=1, max_size=5)


@given(st.lists(_REQUESTS, min_size=1, max_size=3), st.sets(st.integers(0, 14)))
@settings(max_examples=150, deadline=None)
def test_each_is_told_as_if_the_other_were_not_there(
    writes: list[list[_Request]], odd: set[int]
) -> None:
    together, apart, number = decoder(), decoder(), 0
    for requests in writes:
        bodies = []
        for _, said in requests:
            bodies.append(body(said, odd=number in odd))
            number += 1
        proven = [agent for agent, _ in requests]
        found = words(together.decode(bodies, NOW_S, proven).sightings, proven)
        expected: dict[tuple[bool, str, str], int] = {}
        for kind in (True, False):
            some = [one for one, agent in zip(bodies, proven, strict=True) if agent is kind]
            if some:
                kinds = [kind] * len(some)
                expected |= words(apart.decode(some, NOW_S, kinds).sightings, kinds)
        assert found == expected
