"""What each sender knows: which points it sent, which of them were acknowledged."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from chaos.messages import Point


@dataclass
class Account:
    """One sender's. `acked` holds the times of acknowledged points, in unix milliseconds.

    `wrong` holds answers that no honest request may get.
    """

    entity: str
    sent: dict[int, Point] = field(default_factory=dict)
    acked: set[int] = field(default_factory=set)
    counts: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def send(self, points: Iterable[Point]) -> None:
        self.sent.update((point.ts, point) for point in points)

    def ack(self, points: Iterable[Point]) -> None:
        self.acked.update(point.ts for point in points)
        self.counts["requests acknowledged"] += 1
