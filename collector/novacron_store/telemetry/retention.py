"""How long telemetry is kept: by resolution, and for raw points by retention class."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from clickhouse_connect.driver.client import Client

from novacron_store.telemetry import schema
from novacron_store.telemetry.client import contract_errors

_DAY = 86400.0
_OPEN_S = 2 * 3600  # samples are needed until their hour is closed
_NUMBERED = re.compile(r"('(?:[^'\\]|\\.)*') = (-?\d+)")  # of an Enum8, as ClickHouse prints it


def _classes() -> dict[str, float]:
    return {"short": _DAY, "long": 30 * _DAY}


@dataclass(frozen=True, slots=True)
class Retention:
    """Seconds. `raw` is the class "default"; `classes` are the others by name."""

    raw: float = 7 * _DAY
    rollup_5m: float = 90 * _DAY
    rollup_1h: float = 730 * _DAY
    classes: Mapping[str, float] = field(default_factory=_classes)

    def expired(self, time: float, now: float) -> list[str]:
        """Classes of which points at `time` are no longer kept."""
        kept = {schema.DEFAULT_CLASS: self.raw, **self.classes}
        return [name for name, seconds in kept.items() if time < now - seconds]


def apply(client: Client, retention: Retention) -> None:
    """Make every table's TTL say what `retention` says; costs nothing when it does already."""
    wanted = json.dumps(asdict(retention), sort_keys=True)
    with contract_errors():
        if _recorded(client) == wanted:
            return
        for table in schema.TABLES:
            if table.expires:
                _name_classes(client, table, retention)
                client.command(_modify_ttl(table, retention))
        client.insert(schema.SETTINGS, [["retention", wanted]], column_names=["name", "value"])


def current(client: Client) -> Retention:
    """What `apply` set last."""
    with contract_errors():
        recorded = _recorded(client)
    return Retention(**json.loads(recorded)) if recorded else Retention()


def _recorded(client: Client) -> str | None:
    rows = client.query(
        f"SELECT value FROM {schema.SETTINGS} FINAL WHERE name = 'retention'"
    ).result_rows
    return rows[0][0] if rows else None


def _name_classes(client: Client, table: schema.Table, retention: Retention) -> None:
    """A class keeps its number for good: parts of the table may hold it."""
    query = f"DESCRIBE TABLE {table.name}"
    (kind,) = (row[1] for row in client.query(query).result_rows if row[0] == "retention")
    numbers = {name: int(number) for name, number in _NUMBERED.findall(kind)}
    known = len(numbers)
    for name in map(_literal, retention.classes):
        numbers.setdefault(name, max(numbers.values()) + 1)
    if len(numbers) > known:
        every = ", ".join(f"{name} = {number}" for name, number in numbers.items())
        client.command(
            f"ALTER TABLE {table.name} MODIFY COLUMN retention Enum8({every}) "
            f"DEFAULT {_literal(schema.DEFAULT_CLASS)}"
        )


def _modify_ttl(table: schema.Table, retention: Retention) -> str:
    """One expression over the class, and not one rule per class, so that whole parts drop."""
    match table.name:
        case schema.BUCKETS_5M:
            seconds = str(round(retention.rollup_5m))
        case schema.BUCKETS_1H:
            seconds = str(round(retention.rollup_1h))
        case _:
            names = [_literal(name) for name in retention.classes]
            kept = [str(round(value)) for value in retention.classes.values()]
            seconds = (
                f"transform(retention, [{', '.join(names)}], [{', '.join(kept)}], "
                f"{round(retention.raw)})"
            )
    if table.name in (schema.ARRIVALS, schema.WINDOWS):
        seconds = f"greatest({seconds}, {_OPEN_S})"
    return (
        f"ALTER TABLE {table.name} MODIFY TTL "
        f"toDateTime({table.expires}) + toIntervalSecond({seconds})"
    )


def _literal(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
