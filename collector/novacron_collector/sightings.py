"""From commits to the inventory: which entity was seen when, and what its resource says."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime

from novacron_collector.inventory import Sighting
from novacron_collector.otlp.decoded import Sighting as Seen
from novacron_collector.pipeline import Committed

_MOST = 200_000  # entities between two looks: anybody may name them


class Sightings:
    """What was seen since it was taken last: of each entity the newest by our clock."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._newest: dict[str, tuple[float, Seen, float | None]] = {}

    def see(self, committed: Committed) -> None:
        """An observer of commits: it costs no more than it must, as it is called for each."""
        requests = committed.requests
        with self._lock:
            newest = self._newest
            for seen in committed.decoded.sightings:
                request, entity, _, ts = seen
                offset = requests[request].clock_offset_s
                ours = ts - 1000 * (offset or 0.0)
                known = newest.get(entity.name)
                if known is None and len(newest) >= _MOST:
                    continue
                if known is None or known[0] <= ours:
                    newest[entity.name] = (ours, seen, offset)

    def take(self) -> Iterator[Sighting]:
        with self._lock:
            newest, self._newest = self._newest, {}
        for _, seen, offset in newest.values():
            yield Sighting(
                entity=seen.entity.name,
                entity_type=seen.entity.type,
                resource=dict(seen.resource.texts),
                seen=datetime.fromtimestamp(seen.newest / 1000, UTC),
                clock_offset_s=offset,
            )
