"""What a browser watches: metrics, of some machines or of all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from novacron_contract.errors import BadMessage

# [metric, entity, attributes, unix milliseconds, value], as on the collector's live feed.
Point = list[Any]

MAX_MESSAGE_BYTES = 64 * 1024
MAX_TOPICS, MAX_METRICS, MAX_ENTITIES = 8, 64, 500
_EXPECTED = (
    f'expected {{"watch": [{{"metrics": [text, …], "entities": [text, …] or null}}, …]}} with at '
    f"most {MAX_TOPICS} topics of {MAX_METRICS} metrics and {MAX_ENTITIES} entities each"
)


@dataclass(frozen=True, slots=True)
class Topic:
    """`entities` None: every machine."""

    metrics: frozenset[str]
    entities: frozenset[str] | None

    def matches(self, point: Point) -> bool:
        return point[0] in self.metrics and (self.entities is None or point[1] in self.entities)


def parse_watch(text: str) -> tuple[Topic, ...]:
    """Read what a browser sent.

    Raises:
        BadMessage: it is not a watch message, or over a limit.
    """
    try:
        message = orjson.loads(text)
    except orjson.JSONDecodeError as err:
        raise BadMessage(f"not JSON: {err}") from err
    match message:
        case {"watch": [*topics]} if len(topics) <= MAX_TOPICS:
            return tuple(_topic(topic) for topic in topics)
    raise BadMessage(_EXPECTED)


def select(points: Sequence[Point], topics: Sequence[Topic]) -> list[Point]:
    return [point for point in points if any(topic.matches(point) for topic in topics)]


def _topic(raw: Any) -> Topic:
    match raw:
        case {"metrics": [*metrics], "entities": None} if _names(metrics, MAX_METRICS):
            return Topic(frozenset(metrics), None)
        case {"metrics": [*metrics], "entities": [*entities]} if _names(
            metrics, MAX_METRICS
        ) and _names(entities, MAX_ENTITIES):
            return Topic(frozenset(metrics), frozenset(entities))
    raise BadMessage(_EXPECTED)


def _names(values: list[Any], limit: int) -> bool:
    return len(values) <= limit and all(isinstance(value, str) for value in values)
