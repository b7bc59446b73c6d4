"""Closed hours of series, held by who asked for them: panels ask for the same ones again and again.

A statement costs some milliseconds however little it reads, and a closed hour seldom changes. When
any of them does, `Borders.revision` moves, and all that is held is dropped.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from novacron_store.telemetry.builder.unpacked import Floats, Ints, Unpacked
from novacron_store.telemetry.samples import Borders
from novacron_store.telemetry.schema import HOUR_S

# Of a process: six hours of 1,300 series that tell a value every 10 seconds, or 50 machine pages.
ROOM = 64 << 20
MOST = 1_000  # hours of series of a question; with more the statement is the smaller part of it
HELD_S = 600.0  # what the engine drops by itself, as its retention is over, moves no revision
_SHARE = 4  # a larger part of the room is not for one answer
_HOUR_BYTES = 800  # of what holds the arrays of an hour

_Key = tuple[int, int]  # series, hour
Read = Callable[[Sequence[int], range], Unpacked]


@dataclass(frozen=True, slots=True)
class SeriesHours:
    """Each of the hours (Unix seconds, one after the other) of each of the series."""

    series: Sequence[int]
    hours: range

    def keys(self) -> list[_Key]:
        return [(of, hour) for of in self.series for hour in self.hours]


@dataclass(frozen=True, slots=True)
class _Hour:
    """A series in an hour, as `Unpacked` has it; `asked` before it was read."""

    times: Ints
    values: Floats
    grown: Floats | None
    asked: float  # monotonic seconds

    @property
    def bytes(self) -> int:
        grown = 0 if self.grown is None else self.grown.nbytes
        return self.times.nbytes + self.values.nbytes + grown + _HOUR_BYTES

    def alone(self) -> _Hour:
        """In arrays of its own, which nobody may write to."""
        grown = None if self.grown is None else _own(self.grown)
        return _Hour(_own(self.times), _own(self.values), grown, self.asked)


class HeldHours:
    """For all threads of a process. Of threads that want the same hours at once one asks."""

    def __init__(self, room: int = ROOM, held_s: float = HELD_S) -> None:
        self._room, self._held_s = room, held_s
        self._lock = threading.Lock()
        self._hours: OrderedDict[_Key, _Hour] = OrderedDict()  # what was wanted last comes last
        self._bytes = 0
        self._borders = Borders()
        self._generation = 0  # of what is held; another one was dropped
        self._asking: dict[_Key, threading.Event] = {}

    @property
    def bytes(self) -> int:
        return self._bytes

    def get(self, of: SeriesHours, borders: Borders, steps: bool, read: Read) -> Unpacked:
        """The samples of all of these hours, `series` being places in `of.series`.

        `read` is asked for some rows of `of.series`, and hours, of which not all are held; these
        have to be closed by `borders`, known before. It raises what `read` raises; then others ask.
        """
        keys = of.keys()
        done, asked = threading.Event(), time.monotonic()
        found, generation = self._look_up(keys, borders, steps, done, asked)
        missing = [n for n, hour in enumerate(found) if hour is None]
        if missing:
            try:
                read_now = _ask(of, missing, read, asked)
                for n in missing:
                    found[n] = read_now[n]
                self._keep({keys[n]: read_now[n] for n in missing}, generation)
            finally:
                self._finish(keys, done)
        return _united([hour for hour in found if hour], of, steps)

    def _look_up(
        self,
        keys: Sequence[_Key],
        borders: Borders,
        steps: bool,
        done: threading.Event,
        asked: float,
    ) -> tuple[list[_Hour | None], int]:
        """What is held. Others wait until `done` for what is not; who waited once asks for what is
        missing then, so that what cannot be held is not waited for in turn."""
        waited = False
        while True:
            with self._lock:
                self._follow(borders)
                found = [self._held(key, steps, asked - self._held_s) for key in keys]
                missing = [key for key, hour in zip(keys, found, strict=True) if hour is None]
                others = next((self._asking[key] for key in missing if key in self._asking), None)
                if others is None or waited:
                    for key in missing:
                        self._asking.setdefault(key, done)
                    return found, self._generation
            others.wait()
            waited = True

    def _follow(self, borders: Borders) -> None:
        """Drop all when hours changed, or, in another copy of the store, are not closed yet."""
        known = self._borders
        if borders.revision != known.revision or borders.closed < known.closed:
            self._hours.clear()
            self._asking.clear()
            self._bytes = 0
            self._generation += 1
        self._borders = borders

    def _held(self, key: _Key, steps: bool, since: float) -> _Hour | None:
        hour = self._hours.get(key)
        if hour is None or hour.asked < since or (steps and hour.grown is None):
            return None
        self._hours.move_to_end(key)
        return hour

    def _keep(self, hours: dict[_Key, _Hour], generation: int) -> None:
        if sum(hour.bytes for hour in hours.values()) > self._room / _SHARE:
            return
        alone = {key: hour.alone() for key, hour in hours.items()}
        with self._lock:
            if generation != self._generation:  # what was read may be what was there before
                return
            for key, hour in alone.items():
                before = self._hours.pop(key, None)
                self._bytes += hour.bytes - (before.bytes if before else 0)
                self._hours[key] = hour
            while self._bytes > self._room:
                self._bytes -= self._hours.popitem(last=False)[1].bytes

    def _finish(self, keys: Sequence[_Key], done: threading.Event) -> None:
        with self._lock:
            for key in keys:
                if self._asking.get(key) is done:
                    del self._asking[key]
        done.set()


def _ask(of: SeriesHours, missing: Sequence[int], read: Read, asked: float) -> dict[int, _Hour]:
    """From the first to the last missing hour of all series that miss one, by place among the
    keys."""
    rows, columns = np.divmod(np.array(missing), len(of.hours))
    rows = np.unique(rows)
    first, last = int(columns.min()), int(columns.max()) + 1
    told = read(rows.tolist(), of.hours[first:last])
    hours = _apart(told, len(rows), of.hours[first:last], asked)
    places = (rows[:, None] * len(of.hours) + np.arange(first, last)).ravel()
    return dict(zip(places.tolist(), hours, strict=True))


def _apart(told: Unpacked, rows: int, hours: range, asked: float) -> list[_Hour]:
    """Hour by hour of each row."""
    column = told.times // (HOUR_S * 1000) - hours.start // HOUR_S
    cuts = np.arange(1, rows * len(hours))
    begins = np.searchsorted(told.series * len(hours) + column, cuts).tolist()
    found = []
    for begin, end in zip([0, *begins], [*begins, len(column)], strict=True):
        grown = None if told.grown is None else told.grown[begin:end]
        found.append(_Hour(told.times[begin:end], told.values[begin:end], grown, asked))
    return found


def _own(of: NDArray[Any]) -> NDArray[Any]:
    copy = of.copy()
    copy.flags.writeable = False
    return copy


def _united(hours: Sequence[_Hour], of: SeriesHours, steps: bool) -> Unpacked:
    rows = np.repeat(np.arange(len(of.series)), len(of.hours))
    return Unpacked(
        np.repeat(rows, [len(hour.times) for hour in hours]),
        np.concatenate([hour.times for hour in hours]),
        np.concatenate([hour.values for hour in hours]),
        np.concatenate([hour.grown for hour in hours if hour.grown is not None]) if steps else None,
    )
