"""What the operator should know of forwarding: who takes nothing, and what never got there."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from novacron_collector.api.notices import Notice, Severity
from novacron_collector.forward.state import DestinationState, ForwardingState
from novacron_contract.units import duration

_PATIENCE_S = 60.0


def forwarding_notices(state: ForwardingState) -> list[Notice]:
    every = [message for one in state.destinations for message in _of(one)]
    every += [
        f"What waits for {name} in the folder forward of the write-ahead log is kept, but no "
        "destination has that name: add it to collector.toml again, or delete the folder"
        for name in state.abandoned
    ]
    return [Notice(Severity.WARNING, message) for message in every]


def _of(one: DestinationState) -> Iterator[str]:
    if one.problem and one.failing_s > _PATIENCE_S:
        yield (
            f"{one.name} has taken nothing for {duration(one.failing_s)}, and what is to be "
            f"forwarded there waits on disk: {one.problem}"
        )
    if one.lost.points:
        yield (
            f"{one.lost.points} points that came from {_time(one.lost.since)} to "
            f"{_time(one.lost.until)} never get to {one.name}: its queue was full or too old, see "
            "queue_size and queue_age"
        )
    if one.dropped:
        yield f"{one.name} did not take {one.dropped} points: {one.reason}"


def _time(unix_s: float) -> str:
    return datetime.fromtimestamp(unix_s, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
