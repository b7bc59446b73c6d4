"""What of a request a destination gets: whole metrics by name, points by their attributes."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from google.protobuf.message import DecodeError
from opentelemetry.proto.metrics.v1.metrics_pb2 import MetricsData

from novacron_collector.otlp.attributes import read_attributes
from novacron_contract.errors import BadMessage

_REMEMBERED = 100_000  # names of metrics


@dataclass(frozen=True, slots=True)
class Kept:
    """A request's rest: an OTLP body, empty when nothing of it is wanted, and its points."""

    body: bytes
    points: int


class Filter:
    """Keeps a point when its metric matches one of `metrics` (none given: any), none of `exclude`,
    and when every attribute in `where` matches. An attribute is the point's own, or its resource's
    where the point has none of that name; its text is what SQL shows. A resource, scope or metric
    of which no point is left goes, too; nothing else is changed.
    """

    def __init__(
        self, metrics: Sequence[str], exclude: Sequence[str], where: Mapping[str, str]
    ) -> None:
        self._wanted = _matcher(metrics) if metrics else None
        self._unwanted = _matcher(exclude) if exclude else None
        self._where = [(name, _matcher([glob])) for name, glob in where.items()]
        self._names = frozenset(where)
        self._known: dict[str, bool] = {}
        self.keeps_everything = not (metrics or exclude or where)

    def apply(self, body: bytes, points: int) -> Kept:
        """`points`: how many are in `body`, which is not counted when it is kept as it is.

        Raises:
            BadMessage: protobuf does not read it.
        """
        if self.keeps_everything:
            return Kept(body, points)
        try:
            data = MetricsData.FromString(body)
        except DecodeError as err:
            raise BadMessage(f"it cannot be filtered: {err}") from err
        kept = sum(_keep(data.resource_metrics, self._in_resource))
        return Kept(bytes(data.SerializeToString()) if kept else b"", kept)

    def _in_resource(self, group: Any) -> int:
        resource = self._texts(group.resource.attributes) if self._where else {}
        matches = self._matches(resource)  # whatever has no attributes of its own

        def wants(point: Any) -> bool:
            own = point.attributes
            return self._matches({**resource, **self._texts(own)}) if own else matches

        def in_metric(metric: Any) -> int:
            kind = metric.WhichOneof("data")
            if kind is None or not self._wants(metric.name):
                return 0
            points = getattr(metric, kind).data_points
            return sum(_keep(points, wants)) if self._where else len(points)

        def in_scope(scoped: Any) -> int:
            return sum(_keep(scoped.metrics, in_metric))

        return sum(_keep(group.scope_metrics, in_scope))

    def _wants(self, name: str) -> bool:
        known = self._known.get(name)
        if known is None:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            wanted = self._wanted is None or self._wanted(name)
            known = self._known[name] = wanted and not (self._unwanted and self._unwanted(name))
        return known

    def _matches(self, texts: Mapping[str, str]) -> bool:
        return all(name in texts and matches(texts[name]) for name, matches in self._where)

    def _texts(self, attributes: Any) -> dict[str, str]:
        """Of those that matter here; of equal names the last one counts."""
        asked = {pair.key: pair for pair in attributes if pair.key in self._names}
        return dict(read_attributes([*asked.values()], len(asked)).texts) if asked else {}


def _matcher(globs: Iterable[str]) -> Callable[[str], bool]:
    pattern = re.compile("|".join(fnmatch.translate(glob) for glob in globs))
    return lambda text: pattern.match(text) is not None


def _keep(items: Any, points_left: Callable[[Any], int]) -> list[int]:
    """Take out of a repeated field what has no points left; the points left in each."""
    counts = [points_left(item) for item in items]
    if not any(counts):
        del items[:]
    elif not all(counts):
        for at in range(len(counts) - 1, -1, -1):
            if not counts[at]:
                del items[at]
    return counts
