"""A copy of the telemetry database in a folder of the store's machine, and its way back.

The engine copies parts, which never change, while everything goes on. Its tables are not copied at
one moment: samples move between them meanwhile. So the borders up to which samples were moved are
read first: what is behind them stays where it was for ten more minutes, and what had moved further
is there twice, which is once. After the way back the roller finds work that was done already, and
marks for all that arrived late, and does it again.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from clickhouse_connect.driver.binding import quote_identifier
from clickhouse_connect.driver.client import Client

from novacron_contract.errors import ConfigError, Unavailable
from novacron_store.telemetry import schema
from novacron_store.telemetry.client import DATABASE, contract_errors
from novacron_store.telemetry.migrations import MIGRATIONS
from novacron_store.telemetry.progress import revise
from novacron_store.telemetry.schema import WINDOW_S

Progress = Callable[[int, int], None]  # bytes copied, of so many (0: not known yet)

# What describes samples is copied after them: it is written before they are.
_DESCRIBING = (schema.SERIES, schema.ENTITIES, schema.METRICS, schema.MIGRATIONS, schema.SETTINGS)
_GROUPS = {
    "samples": [table.name for table in schema.TABLES if table.name not in _DESCRIBING],
    "descriptions": list(_DESCRIBING),
}
_LOOK_EVERY_S = 0.2
_HELD = "SELECT status, error, bytes_read, total_size FROM system.backups WHERE id = {id:String}"
_BORDERS = f"SELECT resolution, toUnixTimestamp(max(upto)) FROM {schema.ROLLED} GROUP BY resolution"
_ROWS = """SELECT sum(rows) FROM system.parts
WHERE active AND database = currentDatabase() AND table IN {tables:Array(String)}"""
_TELLING = (
    *(schema.ARRIVALS, schema.WINDOWS, schema.BLOCKS, schema.BUCKETS_1H, schema.SERIES),
    *(schema.HISTOGRAMS, schema.EXPONENTIAL_HISTOGRAMS, schema.SUMMARIES),
)
_LATE = f"""
INSERT INTO {schema.DIRTY} (window, mark, marked, done, entities)
SELECT toStartOfFiveMinutes(ts) AS window, {{mark:UInt64}} + toUnixTimestamp(window),
    toDateTime64({{at:UInt32}}, 3, 'UTC'), false, groupUniqArray(entity)
FROM {schema.ARRIVALS} WHERE ts < toDateTime64({{border:UInt32}}, 3, 'UTC') GROUP BY window"""


@dataclass(frozen=True, slots=True)
class TelemetryCopy:
    """What is to be known of a copy beside its files. `rolled`: by resolution, up to where samples
    were moved, Unix seconds. `base`: the folder of the copy that this one adds to. `tables`: by
    part of the copy, so that a later release knows what an older one had."""

    database: str
    layout: int
    rolled: dict[int, int] = field(default_factory=dict)
    base: str | None = None
    tables: dict[str, list[str]] = field(default_factory=dict)


def copy(
    client: Client, folder: Path, base: Path | None = None, progress: Progress = lambda *_: None
) -> TelemetryCopy:
    """Copy all there is to `folder`, which the store's own process writes; with `base`, only what
    is not in that earlier copy.

    Raises:
        Unavailable: it was not copied; what is in `folder` is of no use.
    """
    with contract_errors():
        rolled = {int(row[0]): int(row[1]) for row in client.query(_BORDERS).result_rows}
        for group, tables in _GROUPS.items():
            settings = f" SETTINGS base_backup = {_file(base / group)}" if base else ""
            listed = ", ".join(f"TABLE {_named(client, table)}" for table in tables)
            _wait(client, f"BACKUP {listed} TO {_file(folder / group)}{settings}", progress)
    return TelemetryCopy(
        client.database or DATABASE,
        MIGRATIONS[-1].number,
        rolled,
        str(base) if base else None,
        _GROUPS,
    )


def require_empty(client: Client) -> None:
    """
    Raises:
        ConfigError: the database has telemetry in it.
    """
    with contract_errors():
        (rows,) = client.query(_ROWS, parameters={"tables": list(_TELLING)}).result_rows[0]
    if rows:
        raise ConfigError(
            f"the telemetry database {client.database} is not empty: stop the collector, and "
            "restore into a new data folder, or into another [telemetry] database"
        )


def restore(
    client: Client, folder: Path, made: TelemetryCopy, progress: Progress = lambda *_: None
) -> None:
    """Bring back what `copy` put into `folder`; `migrations.migrate` is to be run afterwards.

    Raises:
        ConfigError: the database is not empty, or a newer release made the copy.
        Unavailable: it did not work; some of it may be there.
    """
    if made.layout > MIGRATIONS[-1].number:
        raise ConfigError(
            f"{folder}: has schema {made.layout}, newer than this release's "
            f"{MIGRATIONS[-1].number}: install the release that made it, or a later one"
        )
    with contract_errors():
        database = quote_identifier(client.database or DATABASE)
        client.command(f"CREATE DATABASE IF NOT EXISTS {database}", use_database=False)
        require_empty(client)
        for table in schema.TABLES:
            client.command(f"DROP TABLE IF EXISTS {_named(client, table.name)} SYNC")
        for group, tables in made.tables.items():
            listed = ", ".join(
                f"TABLE {quote_identifier(made.database)}.{quote_identifier(table)} "
                f"AS {_named(client, table)}"
                for table in tables
            )
            _wait(client, f"RESTORE {listed} FROM {_file(folder / group)}", progress)
        _set_borders(client, made)


def _set_borders(client: Client, made: TelemetryCopy) -> None:
    client.command(f"TRUNCATE TABLE {schema.ROLLED}")
    rows = [[resolution, datetime.fromtimestamp(at, UTC)] for resolution, at in made.rolled.items()]
    if rows:
        client.insert(schema.ROLLED, rows, ["resolution", "upto"])
    revise(client)
    late = {
        "mark": secrets.randbits(62),
        "at": int(time.time()),
        "border": max(made.rolled.get(schema.CLAIMED, 0), made.rolled.get(WINDOW_S, 0)),
    }
    client.command(_LATE, parameters=late)
    # The views are not copied: they name a database. Migrating makes them again.
    client.insert(schema.SETTINGS, [["views", ""]], ["name", "value"])


def _wait(client: Client, statement: str, progress: Progress) -> None:
    """Run a BACKUP or RESTORE, which no time limit of a query ends."""
    started = client.query(f"{statement} ASYNC").result_rows
    while True:
        (row,) = client.query(_HELD, parameters={"id": started[0][0]}).result_rows
        status, error, done, size = row
        progress(done, size)
        if status in ("BACKUP_CREATED", "RESTORED"):
            return
        if not status.startswith(("CREATING", "RESTORING")):
            raise Unavailable(f"the telemetry store cannot do this: {error or status}")
        time.sleep(_LOOK_EVERY_S)


def _named(client: Client, table: str) -> str:
    return f"{quote_identifier(client.database or DATABASE)}.{quote_identifier(table)}"


def _file(path: Path) -> str:
    text = str(path).replace("\\", "\\\\").replace("'", "\\'")
    return f"File('{text}')"
