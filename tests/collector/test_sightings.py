"""What the inventory is told of commits: of each entity the newest, by our clock."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from noon import NOON
from novacron_collector import sightings
from novacron_collector.otlp.attributes import Attributes
from novacron_collector.otlp.decoded import Decoded, Outcome
from novacron_collector.otlp.decoded import Sighting as Seen
from novacron_collector.otlp.identity import Entity
from novacron_collector.pipeline import Committed, Request
from novacron_collector.sightings import Sightings
from novacron_store.telemetry.batch import Batch

NOW_MS = (NOON - 41_600) * 1000


def commit(*seen: tuple[str, str, int, float | None], by: str | None = None) -> Committed:
    """Of (VM, its host, seconds after NOW_MS by the sender's clock, that clock minus ours)."""
    return Committed(
        [Request(b"", clock_offset_s=offset, agent_id=by) for *_, offset in seen],
        Decoded(
            Batch({}),
            [Outcome() for _ in seen],
            [
                Seen(n, Entity(vm, "vm", vm.encode()), _resource(host), NOW_MS + after * 1000)
                for n, (vm, host, after, _) in enumerate(seen)
            ],
        ),
    )


def _resource(host: str) -> Attributes:
    return Attributes(texts=(("vm.host.id", host),), canonical=host.encode())


def taken(some: Sightings) -> dict[str, tuple[str, int]]:
    """By VM the host and the seconds after NOW_MS."""
    start = datetime.fromtimestamp(NOW_MS / 1000, UTC)
    return {
        one.entity: (one.resource["vm.host.id"], round((one.seen - start).total_seconds()))
        for one in some.take()
    }


def test_of_several_commits_the_newest_is_told_once() -> None:
    some = Sightings()
    some.see(commit(("a", "h1", 1, None), ("b", "h1", 5, None)))
    some.see(commit(("a", "h2", 2, None), ("b", "h1", 3, None)))

    assert taken(some) == {"a": ("h2", 2), "b": ("h1", 5)}
    assert taken(some) == {}


def test_newest_is_by_our_clock_whatever_the_senders_is() -> None:
    some = Sightings()
    some.see(commit(("a", "fast clock", 60, 59.0)))
    some.see(commit(("a", "right clock", 2, 0.0)))

    assert taken(some)["a"] == ("right clock", 2)


def test_memory_is_bounded_whoever_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sightings, "_MOST", 2)
    some = Sightings()
    some.see(commit(("a", "h", 1, None), ("b", "h", 1, None), ("c", "h", 1, None)))
    some.see(commit(("a", "h", 2, None)))

    assert taken(some) == {"a": ("h", 2), "b": ("h", 1)}


def told(some: Sightings) -> set[tuple[str | None, str, str]]:
    """(Whose word it is, the entity, its host)."""
    return {(one.reported_by, one.entity, one.resource["vm.host.id"]) for one in some.take()}


@pytest.mark.parametrize("order", [1, -1])
def test_nobodys_word_hides_no_agents(order: int) -> None:
    commits = [commit(("a", "h1", 1, None), by="a-1"), commit(("a", "claimed", 9, None))]
    some = Sightings()
    for one in commits[::order]:
        some.see(one)

    assert told(some) == {("a-1", "a", "h1"), (None, "a", "claimed")}


def test_of_two_agents_the_newer_is_told() -> None:
    some = Sightings()
    some.see(commit(("a", "h2", 5, None), by="a-2"))
    some.see(commit(("a", "h1", 1, None), by="a-1"))

    assert told(some) == {("a-2", "a", "h2")}


def test_nobody_takes_the_room_of_agents(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sightings, "_MOST", 1)
    some = Sightings()
    some.see(commit(("x", "h", 1, None), ("y", "h", 1, None)))
    some.see(commit(("a", "h1", 1, None), by="a-1"))

    assert told(some) == {(None, "x", "h"), ("a-1", "a", "h1")}


def test_a_service_that_is_called_as_a_vm_does_not_hide_it() -> None:
    some, service = Sightings(), commit(("a", "h", 9, None))
    (seen,) = service.decoded.sightings
    service.decoded.sightings[0] = seen._replace(entity=Entity("a", "service", b"another"))
    some.see(commit(("a", "h", 1, None)))
    some.see(service)

    assert {one.entity_type for one in some.take()} == {"vm", "service"}
