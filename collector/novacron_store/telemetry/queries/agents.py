"""What agents tell of what is missing: guests that do not answer them, and points they lost."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from clickhouse_connect.driver.client import Client

from novacron_store.telemetry import retention, samples, schema
from novacron_store.telemetry.cheaply import CHEAPLY
from novacron_store.telemetry.client import contract_errors
from novacron_store.telemetry.samples import UNKNOWN, Borders

ANSWERING = "libvirt.monitor.responding"
_LONGEST = timedelta(days=1)  # so far back the beginning of a guest's silence is looked for

_MS = "toUnixTimestamp64Milli(ts)"
_OF_GUESTS = f"metric = '{ANSWERING}' AND entity IN {{guests:Array(String)}}"
_SILENT = f"""
SELECT entity FROM %s AS s
WHERE {_OF_GUESTS} AND ts > fromUnixTimestamp64Milli({{start:Int64}}, 'UTC')
GROUP BY entity HAVING minArgMax(s.value, ts) = 0
ORDER BY entity {CHEAPLY}"""
_SINCE = f"""
SELECT entity, maxIf({_MS}, s.value > 0) AS answered,
    arrayMin(arrayFilter(x -> x > answered, groupArrayIf({_MS}, s.value = 0)))
FROM %s AS s
WHERE {_OF_GUESTS} AND ts > fromUnixTimestamp64Milli({{start:Int64}}, 'UTC')
GROUP BY entity {CHEAPLY}"""

_LENGTH, _POINTS = "novacron.agent.gap.duration", "novacron.agent.gap.points"
_MOST = 2**53  # points of one gap: more are no count
_OF_AGENTS = f"metric IN ('{_LENGTH}', '{_POINTS}') AND entity IN {{agents:Array(String)}}"
_TELLING = f"""
SELECT series, any(entity), any(metric), any(attributes) FROM {schema.SERIES}
WHERE {_OF_AGENTS} GROUP BY series {CHEAPLY}"""
_GAPS = f"""
SELECT series, groupArray(({_MS}, s.value)) FROM %s AS s
WHERE {_OF_AGENTS} AND ts >= fromUnixTimestamp64Milli({{start:Int64}}, 'UTC')
GROUP BY series {CHEAPLY}"""


@dataclass(frozen=True, slots=True)
class Silence:
    """A guest whose monitor does not answer; `since` None: for longer than is looked back."""

    guest: str
    since: datetime | None


@dataclass(frozen=True, slots=True)
class Gap:
    """An agent lost `points` of these times, both included, on the way to here."""

    agent: str  # the entity
    start: datetime
    end: datetime
    reason: str
    points: int


def silences(
    client: Client,
    guests: Sequence[str],
    now: datetime,
    within: timedelta,
    borders: Borders = UNKNOWN,
    most: int = 100,
) -> list[Silence]:
    """Those of the `guests` that do not answer now, by their ids: the newest that was told of them
    `within` that time says so. Since when is looked for of the first `most` alone."""
    if not guests:
        return []
    with contract_errors():
        silent = [row[0] for row in _told(client, _SILENT, guests, now - within, borders)]
        if not silent:
            return []
        rows = _told(client, _SINCE, silent[:most], now - _LONGEST, borders)
    known_ms = 1000 * (now - _LONGEST + within).timestamp()
    since = {
        guest: _moment(first) if first and (answered or first > known_ms) else None
        for guest, answered, first in rows
    }
    return [Silence(guest, since.get(guest)) for guest in silent]


def _told(
    client: Client, sql: str, guests: Sequence[str], since: datetime, borders: Borders
) -> Sequence[Sequence[Any]]:
    start = int(since.timestamp())
    recent = samples.as_stored(borders).between(start)
    parameters = {"guests": list(guests), "start": start * 1000}
    return client.query(sql % recent, parameters=parameters).result_rows


def gaps(
    client: Client,
    agents: Sequence[str],
    start: datetime,
    end: datetime,
    borders: Borders = UNKNOWN,
) -> list[Gap]:
    """Those of the entities `agents` that reach into the range, the oldest first. A gap is told at
    its end, so that samples after the range are read, too."""
    if not agents:
        return []
    first = int(start.timestamp() * 1000)
    parameters = {"agents": list(agents), "start": first}
    with contract_errors():
        telling = {
            row[0]: row[1:] for row in client.query(_TELLING, parameters=parameters).result_rows
        }
        if not telling:
            return []
        told = samples.as_stored(borders).between(first // 1000)
        rows = client.query(_GAPS % told, parameters=parameters).result_rows
    named = [(*telling[series], points) for series, points in rows if series in telling]
    found = [gap for gap in _paired(named) if gap.start <= end]
    return sorted(found, key=lambda gap: (gap.start, gap.end))


def gaps_since(client: Client, now: datetime) -> datetime:
    """Gaps that ended before are no longer known: a rollup does not tell a sample's time. A full
    hour."""
    kept_s = retention.current(client).kept(_LENGTH)
    return _moment(1000 * 3600 * math.ceil((now.timestamp() - kept_s) / 3600))


def _paired(rows: Iterable[Sequence[Any]]) -> list[Gap]:
    """A gap is two samples: its length, and how many points it lacks. Anybody may send them: what
    is no length is left out, and what is no count is 0."""
    values: dict[str, dict[tuple[str, str, str, int], float]] = {_LENGTH: {}, _POINTS: {}}
    for agent, metric, attributes, told in rows:
        where, why = (attributes.get(f"novacron.{name}", "") for name in ("destination", "reason"))
        for ms, value in told:
            if not math.isfinite(value):
                continue
            key = (agent, where, why, ms)
            values[metric][key] = min(value, values[metric].get(key, value))
    return [
        Gap(agent, _moment(ms - 1000 * length), _moment(ms), why, _count(values[_POINTS].get(key)))
        for key, length in values[_LENGTH].items()
        for agent, _, why, ms in (key,)
        if 0 <= length <= ms / 1000
    ]


def _count(points: float | None) -> int:
    return int(points) if points is not None and 0 <= points <= _MOST else 0


def _moment(milliseconds: float) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
