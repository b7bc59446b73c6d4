"""Parts that a full disk damaged, put right while the store runs.

chDB does not notice that a write fails, as when the disk gets full: a part of an insert, or one
that was merged of good ones, cannot be read then, and all questions that touch it fail. But it
counts such writes, and keeps what was merged for some minutes. So whenever the count moves, parts
that are new are read through. A damaged one is put aside, and what it was merged of put back; what
was inserted is inserted again by who did (novacron_store.telemetry.room).
"""

from __future__ import annotations

import logging
import os
import shutil
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from novacron_store.server.engine import Engine, Handle
from novacron_store.server.failures import EngineError

log = logging.getLogger(__name__)

_EVERY_S = 1.0
_WATCHED_S = 120.0  # an insert that began before a write failed may end so much later
_CLOCK_S = 2  # times of parts are whole seconds
_FAILED = (
    "SELECT sum(value) FROM system.events WHERE event = 'WriteBufferFromFileDescriptorWriteFailed'"
)
_NEW = """SELECT database, table, name, path, partition_id, min_block_number, max_block_number
FROM system.parts WHERE active AND database != 'system' AND modification_time >= {since:UInt32}"""
_SOURCES = """SELECT path, min_block_number, max_block_number FROM system.parts
WHERE NOT active AND database = {database:String} AND table = {table:String} AND rows > 0
    AND partition_id = {partition:String} AND name != {name:String}
    AND min_block_number >= {first:Int64} AND max_block_number <= {last:Int64}
ORDER BY min_block_number, max_block_number DESC, level DESC"""
_CHECK = "CHECK TABLE {table} PART '{part}' SETTINGS check_query_single_value_result = 1"


@dataclass(frozen=True, slots=True)
class _Part:
    database: str
    table: str
    name: str
    path: str
    partition: str
    first: int
    last: int

    @property
    def of(self) -> str:
        return f"`{self.database}`.`{self.table}`"


@dataclass
class Mending:
    """A thread beside the server's."""

    engine: Engine
    _handle: Handle = field(init=False)
    _seen: int = field(default=0, init=False)
    _since: int = field(default=0, init=False)  # Unix seconds: older parts are known to be whole
    _until: float = field(default=0.0, init=False)  # monotonic seconds
    _problem: str = field(default="", init=False)
    _stopping: threading.Event = field(default_factory=threading.Event, init=False)

    def start(self) -> None:
        self._handle = self.engine.open()
        self._seen, self._since = self._failed(), int(time.time())
        self._thread = threading.Thread(target=self._run, name="mending", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join()
        self._handle.close()

    def _run(self) -> None:
        while not self._stopping.wait(_EVERY_S):
            try:
                self._look()
            except (EngineError, OSError) as err:  # as while there is no room at all
                if str(err) != self._problem:
                    log.error("damaged parts wait to be put right: %s", err)
                self._problem = str(err)
            else:
                self._problem = ""

    def _look(self) -> None:
        started, failed = int(time.time()) - _CLOCK_S, self._failed()
        if failed != self._seen:
            self._ask("SYSTEM STOP MERGES")  # of those that run, too
            self._until = time.monotonic() + _WATCHED_S
        elif time.monotonic() > self._until:
            self._since = started
            return
        for part in self._new():
            if not self._is_whole(part):
                self._mend(part)
        if failed == self._failed():
            self._ask("SYSTEM START MERGES")
            self._seen, self._since = failed, started

    def _mend(self, part: _Part) -> None:
        """Back first, and aside then: a crash between leaves rows twice, which count once."""
        sources = self._sources(part)
        detached = Path(part.path).parent / "detached"
        for source in sources:
            if not (detached / source.name).exists():
                shutil.copytree(source, detached / source.name, copy_function=os.link)
            self._ask(f"ALTER TABLE {part.of} ATTACH PART '{source.name}'")
        self._ask(f"ALTER TABLE {part.of} DETACH PART '{part.name}'")
        log.error(
            "part %s of %s was damaged, as the disk was full: it is put aside, %s",
            part.name,
            part.of,
            f"and the {len(sources)} that it was merged of are back" if sources
            else "and inserted again by who inserted it",
        )  # fmt: skip

    def _is_whole(self, part: _Part) -> bool:
        try:
            return self._ask(_CHECK.format(table=part.of, part=part.name)).strip() == "1"
        except EngineError:
            return part not in self._new()  # it is merged, or dropped, by now

    def _new(self) -> list[_Part]:
        rows = self._rows(_NEW, since=str(self._since))
        return [_Part(*row[:5], int(row[5]), int(row[6])) for row in rows]

    def _sources(self, part: _Part) -> list[Path]:
        """The largest ones alone: smaller ones inside those were merged to them before."""
        rows = self._rows(
            _SOURCES, database=part.database, table=part.table, name=part.name,
            partition=part.partition, first=str(part.first), last=str(part.last),
        )  # fmt: skip
        found, covered = [], -1
        for path, first, last in rows:
            if int(first) > covered:
                found.append(Path(path))
                covered = int(last)
        return found

    def _failed(self) -> int:
        return int(self._ask(_FAILED))

    def _rows(self, sql: str, **parameters: str) -> list[list[str]]:
        lines = self._handle.run(sql, "TabSeparatedRaw", parameters)[0].decode().splitlines()
        return [line.split("\t") for line in lines]

    def _ask(self, sql: str) -> str:
        return self._handle.ask(sql, {})
