"""From commits to the inventory: which entity was seen when, and what its resource says."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime

from novacron_collector.inventory import Sighting
from novacron_collector.otlp.decoded import Sighting as Seen
from novacron_collector.pipeline import Committed

_MOST = 200_000  # entities between two looks: anybody may name them

_Sender = tuple[float | None, str | None]  # its clock minus ours, the identity that it proved
_Newest = dict[bytes, tuple[float, Seen, _Sender]]  # by our clock, what was seen, who told


class Sightings:
    """What was seen since it was taken last: of each entity the newest by our clock, that of agents
    with an identity apart from that of others, which hides none of theirs and takes no room of
    theirs."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._newest: tuple[_Newest, _Newest] = ({}, {})  # of others, of agents with an identity

    def see(self, committed: Committed) -> None:
        """An observer of commits: it costs no more than it must, as it is called for each."""
        with self._lock:
            others, agents = self._newest
            senders = [
                (
                    1000 * (request.clock_offset_s or 0.0),
                    others if request.agent_id is None else agents,
                    (request.clock_offset_s, request.agent_id),
                )
                for request in committed.requests
            ]
            for seen in committed.decoded.sightings:
                number, entity, _, ts = seen
                ahead, newest, sender = senders[number]
                ours, key = ts - ahead, entity.identity
                known = newest.get(key)
                if known is None and len(newest) >= _MOST:
                    continue
                if known is None or known[0] <= ours:
                    newest[key] = (ours, seen, sender)

    def take(self) -> Iterator[Sighting]:
        with self._lock:
            both, self._newest = self._newest, ({}, {})
        for newest in both:
            for _, seen, (offset, agent_id) in newest.values():
                yield Sighting(
                    entity=seen.entity.name,
                    entity_type=seen.entity.type,
                    resource=dict(seen.resource.texts),
                    seen=datetime.fromtimestamp(seen.newest / 1000, UTC),
                    clock_offset_s=offset,
                    reported_by=agent_id,
                )
