"""What was denied goes on record: the first time at once, repeats as a number a minute later.

However many are denied, and to however many, no more than some hundred rows a minute are written.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from novacron_contract.access import ANONYMOUS
from novacron_contract.errors import NovaCronError
from novacron_store.state import Audit, Entry, Outcome

log = logging.getLogger(__name__)

WINDOW_S = 60.0
MOST = 64  # different ones in a window; the others are counted together
_OTHERS = Entry(ANONYMOUS, "access.denied", "others", Outcome.DENIED)


@dataclass
class _Repeats:
    since: float
    count: int = 0


class Denials:
    def __init__(self, audit: Audit, clock: Callable[[], float] = time.monotonic) -> None:
        self._audit, self._clock = audit, clock
        self._lock = threading.Lock()
        self._seen: dict[tuple[str, ...], tuple[Entry, _Repeats]] = {}

    def note(self, entry: Entry) -> None:
        with self._lock:
            rows = self._over()
            key = _key(entry)
            if key not in self._seen and len(self._seen) >= MOST:
                entry, key = _OTHERS, _key(_OTHERS)
            if key in self._seen:
                self._seen[key][1].count += 1
            else:
                counted = entry is _OTHERS
                self._seen[key] = entry, _Repeats(self._clock(), int(counted))
                rows += [] if counted else [entry]
        self._write(rows)

    def write_due(self) -> None:
        """What was repeated, after its minute: whoever comes by sees to it."""
        if not self._seen:
            return
        with self._lock:
            rows = self._over()
        self._write(rows)

    def write_all(self) -> None:
        """At the end."""
        with self._lock:
            rows = [_counted(*seen) for seen in self._seen.values() if seen[1].count]
            self._seen.clear()
        self._write(rows)

    def _over(self) -> list[Entry]:
        old = self._clock() - WINDOW_S
        over = [key for key, (_, repeats) in self._seen.items() if repeats.since <= old]
        gone = [self._seen.pop(key) for key in over]
        return [_counted(*seen) for seen in gone if seen[1].count]

    def _write(self, rows: list[Entry]) -> None:
        if not rows:
            return
        try:
            self._audit.append(*rows)
        except NovaCronError as err:  # what was denied stays so
            log.error("%d denials are not in the audit: %s", len(rows), err)


def _key(entry: Entry) -> tuple[str, ...]:
    actor = entry.actor
    who = (actor.kind.value, actor.id, actor.token_id, entry.source)
    return (*who, entry.action, entry.target)


def _counted(entry: Entry, repeats: _Repeats) -> Entry:
    return replace(entry, detail={**entry.detail, "repeated": repeats.count})
