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
from novacron_store.telemetry.client import DATABASE

log = logging.getLogger(__name__)

_EVERY_S = 1.0
_WATCHED_S = 120.0  # an insert that began before a write failed may end so much later
_CLOCK_S = 2  # times of parts are whole seconds
_FAILED = (
    "SELECT sum(value) FROM system.events WHERE event = 'WriteBufferFromFileDescriptorWriteFailed'"
)
_NEW = f"""SELECT table, name, path, partition_id, level, min_block_number, max_block_number, rows
FROM system.parts
WHERE active AND database = '{DATABASE}' AND modification_time >= {{since:UInt32}}"""
_SOURCES = f"""SELECT path, min_block_number, max_block_number, rows FROM system.parts
WHERE NOT active AND database = '{DATABASE}' AND table = {{table:String}}
    AND name != {{name:String}} AND partition_id = {{partition:String}}
    AND min_block_number >= {{first:Int64}} AND max_block_number <= {{last:Int64}}
ORDER BY min_block_number, max_block_number DESC, data_version DESC, level DESC"""
_CHECK = "CHECK TABLE {table} PART '{part}' SETTINGS check_query_single_value_result = 1"


@dataclass(frozen=True, slots=True)
class _Part:
    table: str
    name: str
    path: str
    partition: str
    level: int
    first: int
    last: int
    rows: int

    @property
    def of(self) -> str:
        return f"{DATABASE}.{self.table}"

    @property
    def is_merged(self) -> bool:
        return self.level > 0


@dataclass
class Mending:
    """A thread beside the server's. Of NovaCron's tables alone: in these, rows that are there twice
    count once, and what is newest does not depend on when it was inserted."""

    engine: Engine
    _handle: Handle = field(init=False)
    _seen: int = field(default=0, init=False)
    _since: int = field(default=0, init=False)  # Unix seconds: older parts are known to be whole
    _until: float = field(default=0.0, init=False)  # monotonic seconds
    _holds_merges: bool = field(default=False, init=False)
    _waits: bool = field(default=False, init=False)  # a part that could not be put right yet
    _back: set[Path] = field(default_factory=set, init=False)
    _told: set[str] = field(default_factory=set, init=False)
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
            except Exception as err:  # the outermost edge of the thread: it looks again
                if str(err) not in self._told:
                    log.exception("whether parts are damaged cannot be told")
                self._told.add(str(err))

    def _look(self) -> None:
        started, failed = int(time.time()) - _CLOCK_S, self._failed()
        if failed != self._seen:
            self._ask("SYSTEM STOP MERGES")  # of those that run, too
            self._seen, self._holds_merges = failed, True
            self._until = time.monotonic() + _WATCHED_S
        is_over = time.monotonic() > self._until
        if not is_over or self._waits:
            every = [self._is_settled(part) for part in self._new()]
            self._waits = not all(every)
        if not self._waits and (is_over or failed == self._failed()):
            self._since = started
        if self._holds_merges and (is_over or self._since == started):
            self._ask("SYSTEM START MERGES")
            self._holds_merges = False

    def _is_settled(self, part: _Part) -> bool:
        try:
            if not self._is_whole(part):
                self._mend(part)
        except (EngineError, OSError) as err:  # as while there is no room at all
            self._tell(f"part {part.name} of {part.of} may be damaged: {err}")
            return False
        return True

    def _is_whole(self, part: _Part) -> bool:
        try:
            return self._ask(_CHECK.format(table=part.of, part=part.name)).strip() != "0"
        except EngineError:
            if part in self._new():
                raise  # damage is an answer
            return True  # it is merged, or dropped, by now

    def _mend(self, part: _Part) -> None:
        """Back first, and aside then: a crash between leaves rows twice."""
        sources = self._sources(part)
        if part.is_merged and not sources:
            self._tell(
                f"part {part.name} of {part.of} is damaged, and what it was merged of is gone"
            )
            return
        for source in sources:
            if (
                source not in self._back
            ):  # that it could not be put aside is no reason to do it twice
                _link(source)
                self._ask(f"ALTER TABLE {part.of} ATTACH PART '{source.name}'")
                self._back.add(source)
        self._ask(f"ALTER TABLE {part.of} DETACH PART '{part.name}'")
        instead = "what it was merged of is back" if sources else "it is inserted again by who did"
        self._tell(f"part {part.name} of {part.of} was damaged as a write failed: {instead}")

    def _new(self) -> list[_Part]:
        return [
            _Part(table, name, path, partition, int(level), int(first), int(last), int(rows))
            for table, name, path, partition, level, first, last, rows in self._rows(
                _NEW, since=str(self._since)
            )
        ]

    def _sources(self, part: _Part) -> list[Path]:
        """All it was merged of, or nothing. Larger ones alone: smaller ones inside those were
        merged to them before."""
        found = self._rows(
            _SOURCES, table=part.table, name=part.name, partition=part.partition,
            first=str(part.first), last=str(part.last),
        )  # fmt: skip
        sources, covered, begin, rows = [], -1, -1, 0
        for path, first, last, count in found:
            if int(first) > covered:
                sources.append(Path(path))
                begin = int(first) if begin < 0 else begin
                covered, rows = int(last), rows + int(count)
        is_all = (begin, covered) == (part.first, part.last) and rows >= part.rows
        return sources if is_all else []

    def _tell(self, what: str) -> None:
        if what not in self._told:
            self._told.add(what)
            log.error("%s", what)

    def _failed(self) -> int:
        return int(self._ask(_FAILED))

    def _rows(self, sql: str, **parameters: str) -> list[list[str]]:
        lines = self._handle.run(sql, "TabSeparatedRaw", parameters)[0].decode().splitlines()
        return [line.split("\t") for line in lines]

    def _ask(self, sql: str) -> str:
        return self._handle.ask(sql, {})


def _link(part: Path) -> None:
    """To where it can be attached from, under its name as soon as it is whole."""
    detached = part.parent / "detached"
    begun, place = detached / f"mending_{part.name}", detached / part.name
    if not place.exists():
        shutil.rmtree(begun, ignore_errors=True)
        shutil.copytree(part, begun, copy_function=os.link)
        begun.rename(place)
