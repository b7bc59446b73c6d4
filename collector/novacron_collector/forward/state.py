"""How forwarding is doing, for the API."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Lost:
    """What went from a queue unsent, since the start; times in unix seconds, 0 for none."""

    requests: int = 0
    points: int = 0
    since: float = 0.0
    until: float = 0.0

    def plus(self, requests: int, points: int, since: float, until: float) -> Lost:
        return Lost(
            self.requests + requests,
            self.points + points,
            min(since, self.since or since),
            max(until, self.until),
        )


@dataclass
class Sent:
    """What became of it since the start. `dropped`: points that the destination does not take."""

    requests: int = 0
    points: int = 0
    failed: int = 0
    dropped: int = 0
    reason: str = ""  # why something was dropped, the latest


@dataclass(frozen=True, slots=True)
class DestinationState:
    """`problem`: why nothing is taken, for `failing_s` seconds now. `dropped` points were not
    taken, for `reason`."""

    name: str
    problem: str = ""
    failing_s: float = 0.0
    dropped: int = 0
    reason: str = ""
    lost: Lost = Lost()


@dataclass(frozen=True, slots=True)
class ForwardingState:
    """`abandoned`: queues that hold something, and whose destination left the settings."""

    destinations: tuple[DestinationState, ...] = ()
    abandoned: tuple[str, ...] = ()
