"""From commits to the inventory: which entity was seen when, and what its resource says."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime

from novacron_collector.inventory import Sighting
from novacron_collector.pipeline import Committed


def reporting_to(
    observe: Callable[[Iterable[Sighting]], None],
) -> Callable[[Committed], None]:
    """An observer of commits that tells the inventory."""

    def report(committed: Committed) -> None:
        observe(
            Sighting(
                entity=seen.entity.name,
                entity_type=seen.entity.type,
                resource=dict(seen.resource.texts),
                seen=datetime.fromtimestamp(seen.newest / 1000, UTC),
                clock_offset_s=committed.requests[seen.request].clock_offset_s,
            )
            for seen in committed.decoded.sightings
        )

    return report
