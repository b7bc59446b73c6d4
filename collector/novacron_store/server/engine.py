"""The embedded engine: one chDB over one data folder, and the handles requests work with."""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import chdb

from novacron_contract.errors import ConfigError
from novacron_store.server.failures import UNKNOWN_FORMAT, UNKNOWN_SETTING, EngineError

_CONFIG = "novacron-store.xml"  # in the data folder, written at each start
_CONFIGURED = """<clickhouse><storage_configuration><disks><default>
<keep_free_space_bytes>{keep_free}</keep_free_space_bytes>
</default></disks></storage_configuration>
<backups><allowed_path>/</allowed_path></backups></clickhouse>
"""
_SETTINGS = re.compile(
    r"""(?:`(?:[^`\\]|\\.)*`|"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|[^`"'])*?\b(SETTINGS\s+\w+\s*=)""",
    re.IGNORECASE,
)
_NO_SETTINGS: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Counts:
    """What a statement read and wrote, for X-ClickHouse-Summary."""

    read_rows: int = 0
    read_bytes: int = 0
    written_rows: int = 0
    written_bytes: int = 0
    result_rows: int = 0


class Handle:
    """A connection to the engine with settings, a database and temporary tables of its own.

    One request at a time. What a request overrides is put back before the next one runs.
    """

    def __init__(self, connection: Any, profile: Mapping[str, str]) -> None:
        self._connection = connection
        self._failed = False
        self._originals: dict[str, str] = {}
        self._overrides: dict[str, str] = {}
        self._database = self._home = "default"
        self._set(profile)

    def prepare(self, database: str, settings: Mapping[str, str]) -> None:
        """Make `settings` and `database` ("": the session's own) hold for the next statement."""
        self._use(database or self._home)
        gone = {name: self._originals[name] for name in self._overrides if name not in settings}
        new = {k: v for k, v in settings.items() if self._overrides.get(k) != v}
        if not gone and not new:
            return
        self._remember(new)
        self._set(gone | new)
        self._overrides = dict(settings)

    def change_context(self, text: str) -> None:
        """Run SET or USE: the session keeps it, and overrides of requests stay apart from it."""
        self.prepare("", _NO_SETTINGS)
        self.run(text, "Null", _NO_SETTINGS)
        self._originals.clear()
        self._home = self._database = self.ask("SELECT currentDatabase()", _NO_SETTINGS).strip()

    def run(self, text: str, fmt: str, parameters: Mapping[str, str]) -> tuple[bytes, Counts]:
        """Run a statement and return its whole answer."""
        _check_format(fmt)
        with self._asking() as connection:
            result = connection.query(text, fmt, params=dict(parameters))
            answer: bytes = result.bytes()
        read = Counts(
            read_rows=result.storage_rows_read(),
            read_bytes=result.storage_bytes_read(),
            result_rows=result.rows_read(),
        )
        return answer, read

    def ask(self, text: str, parameters: Mapping[str, str]) -> str:
        """Run a statement and return its answer as TabSeparatedRaw text."""
        return self.run(text, "TabSeparatedRaw", parameters)[0].decode(errors="replace")

    def stream(self, text: str, fmt: str, parameters: Mapping[str, str]) -> Generator[bytes]:
        """Run a read and yield its answer in pieces, each a document of its own."""
        _check_format(fmt)
        with (
            self._asking() as connection,
            connection.send_query(text, fmt, params=dict(parameters)) as pieces,
        ):
            for piece in pieces:
                yield piece.bytes()

    def insert(self, text: str, fmt: str, data: memoryview) -> Counts:
        """Run an INSERT (without its FORMAT) with `data`; all of it, or an error.

        As a file in memory: of chDB 4.4's own way for such data, `send_insert`, nobody hears that
        the table took nothing, as without room, or against a constraint.
        """
        with _in_memory(data) as path, self._asking() as connection:
            done = connection.query(f"{_from_file(text, path)} FORMAT {fmt}", "Null")
        return Counts(written_rows=done.rows_written(), written_bytes=done.bytes_written())

    def close(self) -> None:
        self._connection.close()

    @contextmanager
    def _asking(self) -> Iterator[Any]:
        """The connection, for one statement.

        chDB 4.4 begins the next answer with what a failed statement had written of its own: an
        answer that nobody reads takes that away.
        """
        if self._failed:
            self._connection.query("SELECT 1", "Null")
            self._failed = False
        try:
            yield self._connection
        except (RuntimeError, UnicodeError) as err:
            self._failed = True
            raise EngineError.from_engine(err) from err

    def _use(self, database: str) -> None:
        if database != self._database:
            quoted = database.replace("\\", "\\\\").replace("`", "\\`")
            self.run(f"USE `{quoted}`", "Null", _NO_SETTINGS)
            self._database = database

    def _set(self, settings: Mapping[str, str]) -> None:
        for name in settings:
            if not re.fullmatch(r"\w+", name):
                raise EngineError.of(UNKNOWN_SETTING, f"Unknown setting {name!r}")
        if settings:
            pairs = ", ".join(f"{name} = {_literal(value)}" for name, value in settings.items())
            self.run(f"SET {pairs}", "Null", _NO_SETTINGS)

    def _remember(self, new: Mapping[str, str]) -> None:
        for name in new:
            if name not in self._originals and re.fullmatch(r"\w+", name):
                answer = self.ask(f"SELECT toString(getSetting('{name}'))", _NO_SETTINGS)
                self._originals[name] = answer.removesuffix("\n")


class Engine:
    """chDB over `folder`; it lives until closed and takes part in no other process.

    Inserts and merges begin only while there is room besides `keep_free` bytes of the disk: chDB
    4.4 damages parts when the disk gets full while it writes them.
    """

    def __init__(self, folder: Path, memory: int, keep_free: int = 0) -> None:
        config = folder / _CONFIG
        self._address = f"{folder}?config-file={config}&max_server_memory_usage={memory}"
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            _check_unused(folder)
            config.write_text(_CONFIGURED.format(keep_free=keep_free), encoding="utf-8")
            self._root = self._connect()
        except OSError as err:
            raise ConfigError(f"{folder}: the data folder cannot be made: {err.strerror}") from err
        except RuntimeError as err:
            raise ConfigError(f"{folder}: the engine cannot open the data folder: {err}") from err

    def open(self, profile: Mapping[str, str] = _NO_SETTINGS) -> Handle:
        """A new handle with `profile` as its settings; 0.3 ms of CPU."""
        connection = self._connect()
        try:
            return Handle(connection, profile)
        except EngineError:
            connection.close()  # a setting is refused
            raise

    def close(self) -> None:
        self._root.close()

    def _connect(self) -> Any:
        return chdb.connect(self._address)  # type: ignore[no-untyped-call]


@contextmanager
def _in_memory(data: memoryview) -> Iterator[str]:
    """The path of a file with `data`, as long as the block lasts."""
    with open(os.memfd_create("insert"), "wb", buffering=0) as file:
        left = data
        while left:
            left = left[file.write(left) :]
        yield f"/proc/self/fd/{file.fileno()}"


def _from_file(insert: str, path: str) -> str:
    """Settings come behind the file."""
    settings = _SETTINGS.match(insert)
    place = settings.start(1) if settings else len(insert)
    return f"{insert[:place]}\nFROM INFILE '{path}' {insert[place:]}"  # no comment goes on


def _check_unused(folder: Path) -> None:
    """Look at the lock of whoever has the folder open: chDB's own message would be empty."""
    try:
        with (folder / "status").open(encoding="utf-8") as status:
            try:
                fcntl.flock(status, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError as err:
                holder = re.match(r"PID: (\d+)", status.read())
                who = f"process {holder[1]}" if holder else "another process"
                raise ConfigError(
                    f"{folder}: {who} has this data folder open, probably another novacron-store: "
                    "stop it, or set another [store] path"
                ) from err
    except FileNotFoundError:
        pass  # a new folder


def _check_format(name: str) -> None:
    """chDB takes some names for kinds of Python objects, which cannot be sent."""
    if name.lower() in ("arrowtable", "dataframe"):
        raise EngineError.of(UNKNOWN_FORMAT, f"Unknown format {name}")


def _literal(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
