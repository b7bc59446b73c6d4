"""What was turned away because there were too many series, as a series: charts and alerts see it.

`novacron.collector.overflow` has, for each write, the number of points turned away. It is of the
entity where that one has too many series, and otherwise of the collector: there are no more of
these series than there are entities with too many series, and metrics.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

from novacron_collector.otlp.attributes import Attributes, length_prefixed
from novacron_collector.otlp.catalog import Catalog, to_table
from novacron_collector.otlp.decoded import Decoded
from novacron_collector.otlp.identity import Entity, Stream, series_id
from novacron_collector.otlp.limits import Reason
from novacron_store.telemetry.batch import Batch

METRIC = "novacron.collector.overflow"
_STREAM = Stream(
    metric=METRIC,
    unit="{point}",
    kind="sum",
    temporality="delta",
    monotonic=True,
    description="Points turned away because their series would be one too many",
    scope="novacron",
)
_COLLECTOR = Entity("novacron-collector", "service", length_prefixed("novacron-collector"))
_LIMITS = {
    Reason.ENTITY_FULL: "limits.points.max_series_per_entity",
    Reason.METRIC_FULL: "limits.points.max_series_per_metric",
    Reason.STORE_FULL: "limits.series",
}


class TurnedAway(NamedTuple):
    """Points that were, for this reason."""

    reason: Reason
    entity: Entity
    metric: str


class Overflow:
    """Serves one thread."""

    def __init__(self) -> None:
        self._counts: Counter[TurnedAway] = Counter()
        self._last = 0

    def count(self, points: Mapping[TurnedAway, int]) -> None:
        self._counts.update(points)

    def take(self, catalog: Catalog, now: int) -> Decoded | None:
        """The rows of what was counted since the last call; None where that is nothing."""
        if not self._counts:
            return None
        counts: Counter[tuple[Entity, Attributes]] = Counter()
        for turned, points in self._counts.items():
            counts[_series(turned)] += points
        self._counts.clear()
        self._last = ts = max(now, self._last + 1)  # two writes are two samples
        rows = []
        for (entity, attributes), points in counts.items():
            series = series_id(entity, _STREAM, attributes)
            catalog.describe_series(series, entity, _STREAM, attributes, now)
            rows.append((METRIC, entity.name, series, ts, 0, float(points)))
        descriptions, _ = catalog.take()
        return Decoded(Batch({"samples": to_table("samples", rows), **descriptions}), [], [])


def _series(turned: TurnedAway) -> tuple[Entity, Attributes]:
    texts = {"novacron.limit": _LIMITS[turned.reason], "otel.metric.overflow": "true"}
    if turned.reason is Reason.METRIC_FULL:
        texts["novacron.metric"] = turned.metric
    types = {"otel.metric.overflow": "bool"}
    entity = turned.entity if turned.reason is Reason.ENTITY_FULL else _COLLECTOR
    return entity, _attributes(texts, types)


def _attributes(texts: Mapping[str, str], types: Mapping[str, str]) -> Attributes:
    pairs = tuple(sorted(texts.items()))
    typed = ((key, types.get(key, "string"), text) for key, text in pairs)
    return Attributes(
        texts=pairs,
        types=tuple(sorted(types.items())),
        canonical=b"".join(length_prefixed(*parts) for parts in typed),
        sent=len(pairs),
    )
