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


def commit(*seen: tuple[str, str, int, float | None]) -> Committed:
    """Of (VM, its host, seconds after NOW_MS by the sender's clock, that clock minus ours)."""
    return Committed(
        [Request(b"", clock_offset_s=offset) for *_, offset in seen],
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
        one.entity: ((one.resource or {})["vm.host.id"], round((one.seen - start).total_seconds()))
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
