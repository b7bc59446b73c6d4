"""How long telemetry is kept: by resolution, and for samples by retention class.

Whatever was changed last holds: the settings file when it says something new, or `novacron
retention` after that. Samples have the class that their metric is assigned to while they are
gathered; those stored before stay in theirs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace

from clickhouse_connect.driver.client import Client

from novacron_contract.errors import ConfigError
from novacron_store.telemetry import schema
from novacron_store.telemetry.client import contract_errors

SHORTEST_S = 3600.0
_DAY = 86400.0
_OPEN_S = 2 * 3600  # samples are needed until their hour is closed
_NUMBERED = re.compile(r"('(?:[^'\\]|\\.)*') = (-?\d+)")  # of an Enum8, as ClickHouse prints it
_CLASS_NAME = re.compile(r"[a-z][a-z0-9_-]{0,31}")
_PATTERN = re.compile(r"[\w.:/*-]{1,256}", re.ASCII)
_MAX_CLASSES = 64
_MAX_RULES = 256
_RESOLUTIONS = ("raw", "rollup_5m", "rollup_1h")


def _classes() -> dict[str, float]:
    return {"short": _DAY, "long": 30 * _DAY}


@dataclass(frozen=True, slots=True)
class Retention:
    """Seconds. `raw` is the class "default"; `classes` are the others by name. `rules` are pairs of
    a metric's name, in which * stands for any text, and a class; the last one that fits counts."""

    raw: float = 7 * _DAY
    rollup_5m: float = 90 * _DAY
    rollup_1h: float = 730 * _DAY
    classes: Mapping[str, float] = field(default_factory=_classes)
    rules: Sequence[tuple[str, str]] = ()

    @property
    def by_class(self) -> dict[str, float]:
        return {schema.DEFAULT_CLASS: self.raw, **dict(sorted(self.classes.items()))}

    @property
    def named(self) -> dict[str, float]:
        """All that can be kept longer or shorter: raw samples, classes of them, rollups."""
        rollups = {"rollup_5m": self.rollup_5m, "rollup_1h": self.rollup_1h}
        return {"raw": self.raw, **dict(sorted(self.classes.items())), **rollups}

    @property
    def longest(self) -> float:
        """Of the classes that a metric is in."""
        used = {name for _, name in self.rules}
        return max([self.raw, *(kept for name, kept in self.classes.items() if name in used)])

    def kept(self, metric: str) -> float:
        """Seconds, of samples that are stored from now on."""
        fits = (name for pattern, name in reversed(self.rules) if _fits(metric, pattern))
        return self.by_class[next(fits, schema.DEFAULT_CLASS)]

    def expired(self, time: float, now: float) -> list[str]:
        """Classes of which points at `time` are no longer kept."""
        return [name for name, seconds in self.by_class.items() if time < now - seconds]

    def keeping(self, name: str, seconds: float) -> Retention:
        """With the resolution or class `name` kept for so long; a new name is a new class.

        Raises:
            ConfigError: no name for a class, too many of them, or too short.
        """
        if seconds < SHORTEST_S:
            raise ConfigError(f"{name}: at least {SHORTEST_S / 3600:g} h, got {seconds:g} s")
        if name == schema.DEFAULT_CLASS:
            name = "raw"
        if name in _RESOLUTIONS:
            return _with(self, {name: seconds})
        if not _CLASS_NAME.fullmatch(name):
            raise ConfigError(f"{name!r}: a class is a-z, 0-9, _ and -, 32 characters at most")
        classes = {**self.classes, name: seconds}
        if len(classes) > _MAX_CLASSES:
            raise ConfigError(f"{name}: there are {_MAX_CLASSES} classes already")
        return replace(self, classes=classes)

    def assigning(self, pattern: str, name: str) -> Retention:
        """With metrics that fit `pattern` in the class `name` from now on.

        Raises:
            ConfigError: there is no such class, no such metric can be, or there are too many rules.
        """
        if name not in self.by_class:
            known = ", ".join(self.by_class)
            raise ConfigError(f"{name!r}: no class has that name; there are {known}")
        if not _PATTERN.fullmatch(pattern):
            raise ConfigError(f"{pattern!r}: expected a metric such as vm.cpu.time, or vm.cpu.*")
        rules = [(known, of) for known, of in self.rules if known != pattern]
        rules.append((pattern, name))
        if len(rules) > _MAX_RULES:
            raise ConfigError(f"{pattern}: there are {_MAX_RULES} rules already")
        if all(of == schema.DEFAULT_CLASS for _, of in rules):
            rules = []
        return replace(self, rules=tuple(rules))


def class_sql(retention: Retention, metric: str) -> str:
    """SQL: the class of the metric that the expression `metric` names."""
    cases = [
        f"match({metric}, {_literal(_expression(pattern))}), {_literal(name)}"
        for pattern, name in reversed(retention.rules)
    ]
    default = _literal(schema.DEFAULT_CLASS)
    return f"multiIf({', '.join(cases)}, {default})" if cases else default


def applied_to(table: schema.Table, retention: Retention) -> schema.Table:
    """A new table as `apply` leaves it."""
    if not table.expires:
        return table
    numbers = _numbered({_literal(schema.DEFAULT_CLASS): 0}, retention)
    column = f"    retention {_enum(numbers)} DEFAULT {_assigned(table, retention)}"
    columns = table.columns.replace(schema.RETENTION, column)
    return replace(table, columns=columns, ttl=_ttl(table, retention))


def records(retention: Retention) -> dict[str, str]:
    """What a database records in SETTINGS where `retention`, of a settings file, was applied."""
    said = _text(retention)
    return {"retention": said, "retention_of_file": said}


def apply(client: Client, retention: Retention) -> None:
    """Make every table's TTL say what `retention` says; costs nothing when it does already."""
    wanted = _text(retention)
    with contract_errors():
        if _recorded(client, "retention") == wanted:
            return
        for table in schema.TABLES:
            if table.expires:
                _name_classes(client, table, retention)
                client.command(f"ALTER TABLE {table.name} MODIFY SETTING {schema.EXPIRING}")
                ttl = _ttl(table, retention)
                client.command(f"ALTER TABLE {table.name} MODIFY TTL {ttl}")
        _record(client, "retention", wanted)


def configure(client: Client, retention: Retention) -> None:
    """Apply what a settings file says, unless the same was applied before: what was changed since
    then stays."""
    said = _text(retention)
    with contract_errors():
        if _recorded(client, "retention_of_file") == said and _recorded(client, "retention"):
            return
        wanted = {name: getattr(retention, name) for name in _RESOLUTIONS}
    apply(client, _with(current(client), wanted))
    with contract_errors():
        _record(client, "retention_of_file", said)


def current(client: Client) -> Retention:
    """What was applied last."""
    with contract_errors():
        recorded = _recorded(client, "retention")
    if not recorded:
        return Retention()
    values = json.loads(recorded)
    return Retention(**{**values, "rules": tuple(map(tuple, values.get("rules", ())))})


def _with(retention: Retention, values: Mapping[str, float]) -> Retention:
    return Retention(**{**asdict(retention), **values})


def _text(retention: Retention) -> str:
    return json.dumps(asdict(retention), sort_keys=True)


def _recorded(client: Client, name: str) -> str | None:
    rows = client.query(
        f"SELECT value FROM {schema.SETTINGS} FINAL WHERE name = {{name:String}}",
        parameters={"name": name},
    ).result_rows
    return rows[0][0] if rows else None


def _record(client: Client, name: str, value: str) -> None:
    client.insert(schema.SETTINGS, [[name, value]], column_names=["name", "value"])


def _name_classes(client: Client, table: schema.Table, retention: Retention) -> None:
    """A class keeps its number for good: parts of the table may hold it."""
    query = f"DESCRIBE TABLE {table.name}"
    described = client.query(query).result_rows
    (kind, default), *_ = [(row[1], row[3]) for row in described if row[0] == "retention"]
    known = {name: int(number) for name, number in _NUMBERED.findall(kind)}
    numbers, wanted = _numbered(known, retention), _assigned(table, retention)
    if len(numbers) > len(known) or default != wanted:
        client.command(
            f"ALTER TABLE {table.name} MODIFY COLUMN retention {_enum(numbers)} DEFAULT {wanted}"
        )


def _numbered(known: Mapping[str, int], retention: Retention) -> dict[str, int]:
    numbers = dict(known)
    for name in map(_literal, retention.classes):
        numbers.setdefault(name, max(numbers.values()) + 1)
    return numbers


def _enum(numbers: Mapping[str, int]) -> str:
    return f"Enum8({', '.join(f'{name} = {number}' for name, number in numbers.items())})"


def _assigned(table: schema.Table, retention: Retention) -> str:
    """SQL: the class of a row that is stored from now on."""
    if table.of_metric:
        return class_sql(retention, "metric")
    return _literal(schema.DEFAULT_CLASS)


def _ttl(table: schema.Table, retention: Retention) -> str:
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
    return f"toDateTime({table.expires}) + toIntervalSecond({table.covers} + {seconds})"


def _expression(pattern: str) -> str:
    """A pattern as RE2 has it."""
    return f"^{'.*'.join(map(re.escape, pattern.split('*')))}$"


def _fits(metric: str, pattern: str) -> bool:
    return re.fullmatch(_expression(pattern), metric) is not None


def _literal(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
