"""What waits, filtered, as requests of a size that is worth sending."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from novacron_collector.forward.filter import Filter
from novacron_collector.forward.parcel import Item
from novacron_contract.errors import BadMessage
from novacron_otlp.split import halves, points


@dataclass(frozen=True, slots=True)
class Batch:
    """Requests that are sent as one; OTLP bodies concatenate. `taken`: so many requests leave the
    queue with it, those included of which the filter left nothing."""

    items: Sequence[Item]
    taken: int = 0
    unreadable: Sequence[Item] = field(default_factory=tuple)

    @property
    def body(self) -> bytes:
        return b"".join(item.body for item in self.items)

    @property
    def points(self) -> int:
        return sum(item.points for item in self.items)

    def parts(self) -> list[Batch]:
        """The same in two; nothing when it is a single point."""
        if len(self.items) > 1:
            middle = len(self.items) // 2
            return [Batch(self.items[:middle]), Batch(self.items[middle:])]
        both = halves(self.items[0].body) or ()
        return [Batch([Item(body, sum(1 for _ in points(body)))]) for body in both]


def batches(items: Iterable[Item], keep: Filter, size: int) -> Iterator[Batch]:
    """`size`: bytes of a request, where several are sent as one."""
    waiting: list[Item] = []
    unreadable: list[Item] = []
    held = taken = 0
    for item in items:
        try:
            kept = keep.apply(item.body, item.points)
        except BadMessage:
            unreadable.append(item)
        else:
            if waiting and held + len(kept.body) > size:
                yield Batch(waiting, taken, unreadable)
                waiting, unreadable, held, taken = [], [], 0, 0
            if kept.body:
                waiting.append(Item(kept.body, kept.points))
                held += len(kept.body)
        taken += 1
    if taken:
        yield Batch(waiting, taken, unreadable)
