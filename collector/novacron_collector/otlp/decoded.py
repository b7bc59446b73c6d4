"""What comes out of decoding: rows for the store, and what each request is told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import pyarrow as pa

from novacron_collector.otlp.attributes import Attributes
from novacron_collector.otlp.identity import Entity
from novacron_collector.otlp.limits import Reason
from novacron_store.telemetry.batch import Batch


class OddMessageError(Exception):
    """Valid OTLP that the fast path does not understand; the plain one does."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one request: `error` says why none of it could be read; where it is
    `too_large`, its parts may be sent one by one.

    `rounded`: of the stored points, integers beyond 2^53, whose last digits Float64 cannot hold.
    """

    points: int = 0
    rejected: Counter[Reason] = field(default_factory=Counter)
    error: str = ""
    rounded: int = 0
    too_large: bool = False

    @property
    def is_whole(self) -> bool:
        """Is everything that was in it stored?"""
        return not self.error and not self.rejected

    @property
    def message(self) -> str:
        """For `partial_success`; empty when every point is stored."""
        counts = self.rejected.most_common()
        return "; ".join(f"{count} points: {reason}" for reason, count in counts)


class Sighting(NamedTuple):  # one per machine and write: a tuple is made in a third of the time
    """An entity with this resource had points; the time of the newest in unix milliseconds."""

    # Its place in the write: the first one that has the newest point, of those of senders with an
    # agent's identity, and of others.
    request: int
    entity: Entity
    resource: Attributes
    newest: int


@dataclass(frozen=True, slots=True)
class Decoded:
    batch: Batch
    outcomes: list[Outcome]  # one per request, in their order
    sightings: list[Sighting]


def merge(parts: Sequence[Decoded]) -> Decoded:
    """One write out of several."""
    names = dict.fromkeys(name for part in parts for name in part.batch.tables)
    tables = {
        name: pa.concat_tables(
            [part.batch.tables[name] for part in parts if name in part.batch.tables]
        ).unify_dictionaries()
        for name in names
    }
    outcomes: list[Outcome] = []
    sightings: list[Sighting] = []
    for part in parts:
        before = len(outcomes)
        sightings += (
            map(Sighting._make, ((seen[0] + before, *seen[1:]) for seen in part.sightings))
            if before
            else part.sightings
        )
        outcomes += part.outcomes
    return Decoded(Batch(tables), outcomes, sightings)
