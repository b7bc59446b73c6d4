"""From commits to the inventory: which entity was seen when, and what its resource says."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime

from novacron_collector.inventory import Sighting
from novacron_collector.otlp.decoded import Sighting as Seen
from novacron_collector.pipeline import Committed

_MOST = 200_000  # entities between two looks: anybody may name them

# By our clock, what was seen, the sender's clock minus ours, the identity that the sender proved.
_Newest = dict[bytes, tuple[float, Seen, float | None, str | None]]


class Sightings:
    """What was seen since it was taken last: of each entity the newest by our clock, that of agents
    with an identity apart from that of others, which hides none of theirs and takes no room of
    theirs."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._newest: tuple[_Newest, _Newest] = ({}, {})  # of others, of agents with an identity

    def see(self, committed: Committed) -> None:
        """An observer of commits: it costs no more than it must, as it is called for each."""
        requests = committed.requests
        with self._lock:
            others, agents = self._newest
            for seen in committed.decoded.sightings:
                number, entity, _, ts = seen
                request = requests[number]
                offset, agent_id = request.clock_offset_s, request.agent_id
                newest = others if agent_id is None else agents
                ours = ts - 1000 * (offset or 0.0)
                known = newest.get(entity.identity)
                if known is None and len(newest) >= _MOST:
                    continue
                if known is None or known[0] <= ours:
                    newest[entity.identity] = (ours, seen, offset, agent_id)

    def take(self) -> Iterator[Sighting]:
        with self._lock:
            both, self._newest = self._newest, ({}, {})
        for newest in both:
            for _, seen, offset, agent_id in newest.values():
                yield Sighting(
                    entity=seen.entity.name,
                    entity_type=seen.entity.type,
                    resource=dict(seen.resource.texts),
                    seen=datetime.fromtimestamp(seen.newest / 1000, UTC),
                    clock_offset_s=offset,
                    reported_by=agent_id,
                )
