"""The state database as lines of JSON, of one moment, and its way back into an empty one: from
SQLite to PostgreSQL as well. What operations under way keep secret stays where it is."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from sqlalchemy import Engine, Table, func, insert, select

from novacron_contract.errors import ConfigError
from novacron_store.state.database import reading, safe_url, writing
from novacron_store.state.migration import migrate, revision
from novacron_store.state.tables import UtcTime, metadata
from novacron_store.state.tables.commands import operation_secrets

_ROWS_AT_ONCE = 1000
_TABLES = {table.name: table for table in metadata.sorted_tables if table is not operation_secrets}


def dump(engine: Engine) -> Iterator[str]:
    """A line that names the schema, then one for each row, in an order in which they can be put in.

    Raises:
        Unavailable: the database does not answer, or has no tables.
    """
    with reading(engine) as connection:
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        yield json.dumps({"schema": revision(connection)})
        for table in _TABLES.values():
            for row in connection.execute(select(table)).mappings():
                yield json.dumps({"table": table.name, "row": dict(row)}, default=_plain)


def require_empty(engine: Engine) -> None:
    """
    Raises:
        ConfigError: some table has rows.
    """
    with reading(engine) as connection:
        if revision(connection) is None:
            return
        for table in _TABLES.values():
            if connection.execute(select(func.count()).select_from(table)).scalar_one():
                raise ConfigError(f"{safe_url(engine)}: is not empty: restore into a new one")


def load(engine: Engine, lines: Iterable[str]) -> int:
    """Fill the empty database from the lines of `dump`: all of them or none; returns the rows.

    Raises:
        ConfigError: the database is not empty, the lines are none of `dump`, or of a newer release.
        Unavailable: the database does not answer.
    """
    require_empty(engine)
    every = iter(lines)
    head = _parsed(next(every, ""))
    migrate(engine, upto=str(head.get("schema")))
    count = 0
    with writing(engine) as connection:
        for table, rows in _portions(every):
            connection.execute(insert(table), rows)
            count += len(rows)
    migrate(engine)
    return count


def _portions(lines: Iterable[str]) -> Iterator[tuple[Table, list[dict[str, Any]]]]:
    table, rows = "", list[dict[str, Any]]()
    for line in lines:
        item = _parsed(line)
        name = item.get("table", "")
        if name not in _TABLES or not isinstance(item.get("row"), dict):
            raise ConfigError(f"no line of a state database: {line[:80]!r}")
        if rows and (name != table or len(rows) == _ROWS_AT_ONCE):
            yield _TABLES[table], rows
            rows = []
        table = name
        rows.append(_typed(_TABLES[name], item["row"]))
    if rows:
        yield _TABLES[table], rows


def _parsed(line: str) -> dict[str, Any]:
    try:
        item = json.loads(line)
    except ValueError as err:
        raise ConfigError(f"no line of a state database: {line[:80]!r}") from err
    if not isinstance(item, dict):
        raise ConfigError(f"no line of a state database: {line[:80]!r}")
    return item


def _typed(table: Table, row: dict[str, Any]) -> dict[str, Any]:
    times = {column.name for column in table.columns if isinstance(column.type, UtcTime)}
    return {
        name: datetime.fromisoformat(value) if name in times and value is not None else value
        for name, value in row.items()
    }


def _plain(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(f"{value!r} is no value of a state database")
