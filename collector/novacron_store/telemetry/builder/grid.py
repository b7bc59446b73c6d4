"""Points of time, and the slots between them that samples are counted into."""

from __future__ import annotations

from dataclasses import dataclass
from math import gcd

from novacron_contract.errors import BadMessage, TooLarge

MAX_POINTS = 11_000
MAX_SLOTS = 100_000


@dataclass(frozen=True, slots=True)
class Grid:
    """`points` times from `start` on, every `step` (milliseconds)."""

    start: int
    step: int
    points: int

    @classmethod
    def between(cls, start: float, end: float, step: float) -> Grid:
        """In Unix seconds; the last point is not after `end`.

        Raises:
            BadMessage: an end before its start, or a step below a millisecond.
            TooLarge: more than MAX_POINTS.
        """
        first, last, width = (round(seconds * 1000) for seconds in (start, end, step))
        if width < 1:
            raise BadMessage(f"a step of {step} s: expected 0.001 s or more")
        if last < first:
            raise BadMessage("the range is empty: its end is before its start")
        points = (last - first) // width + 1
        if points > MAX_POINTS:
            raise TooLarge(f"{points} points: expected {MAX_POINTS} or fewer; take a larger step")
        return cls(first, width, points)

    def slots(self, window: int, offset: int, before: int = 0) -> Slots:
        """For windows of so many milliseconds that end at each point, less the offset, and so many
        windows before them.

        Raises:
            BadMessage: the first window begins before 1970.
            TooLarge: window and step have too small a common measure.
        """
        width = gcd(window, self.step) if self.points > 1 else window
        start = self.start - offset - window * (1 + before)
        end = self.start - offset + self.step * (self.points - 1)
        if start < 0:
            raise BadMessage("the range begins before 1970")
        per_step = self.step // width if self.points > 1 else 1
        slots = Slots(start, width, (end - start) // width, window // width, per_step)
        if slots.count > MAX_SLOTS:
            raise TooLarge(
                f"windows of {window} ms every {self.step} ms are {slots.count} slots: expected "
                f"{MAX_SLOTS} or fewer; take a step and a window that divide each other"
            )
        return slots


@dataclass(frozen=True, slots=True)
class Slots:
    """`count` slots of `width` milliseconds from `start` on; a window is `per_window` of them, and
    begins `per_step` after the one before."""

    start: int
    width: int
    count: int
    per_window: int
    per_step: int

    @property
    def end(self) -> int:
        return self.start + self.width * self.count

    def has_border(self, seconds: int) -> bool:
        """Whether no slot has a part on both sides of that time (Unix seconds)."""
        inside = self.start < seconds * 1000 < self.end
        return not inside or (seconds * 1000 - self.start) % self.width == 0

    def whole(self, seconds: int) -> bool:
        """Whether all their borders are borders of buckets of so many seconds."""
        return self.start % (seconds * 1000) == 0 and self.width % (seconds * 1000) == 0
