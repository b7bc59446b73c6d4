"""Sources of readings, each scraped in a thread of its own: one that hangs stops no other."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence

from novacron_agent.counts import Counts
from novacron_agent.readings import Reading, Scrape
from novacron_agent.wake import Wake
from novacron_contract.errors import NovaCronError

log = logging.getLogger(__name__)

_SLICE_S = 0.2  # of waiting, between two looks at whether the agent ends


class Source:
    """One thread that scrapes when asked to. Nothing is lost when it is late: what it found comes
    with the next tick, under its own time. `changes` measures what has changed since, alone."""

    def __init__(
        self,
        name: str,
        scrape: Callable[[], Scrape],
        counts: Counts,
        close: Callable[[], None] = lambda: None,
        changes: Callable[[], Scrape] | None = None,
    ) -> None:
        self.name = name
        self._scrape, self._changes, self._counts, self._close = scrape, changes, counts, close
        self._asked: queue.SimpleQueue[Callable[[], Scrape] | None] = queue.SimpleQueue()
        self._found: queue.SimpleQueue[list[Reading]] = queue.SimpleQueue()
        self._asked_for = self._answered = 0
        self._scraping = threading.Event()
        self._complaint = ""
        # A daemon: a thread that hangs inside libvirt must not keep the process from ending
        counts.expect(name)
        self._thread = threading.Thread(target=self._work, name=f"scrape {name}", daemon=True)
        self._thread.start()

    @property
    def complaint(self) -> str:
        """What is wrong with it now; empty when nothing is."""
        return self._complaint

    def begin(self) -> bool:
        """Ask for a scrape; False while the last one still runs."""
        if self._scraping.is_set():
            self._counts.failed(self.name)
            self._complain("the last scrape still runs; its metrics wait for it")
            return False
        self._scraping.set()
        self._ask(self._scrape)
        return True

    def begin_changes(self) -> bool:
        """Ask for what has changed; False where it is not told, or something is still asked for:
        that or the next scrape sees it."""
        if self._changes is None or self._asked_for != self._answered:
            return False
        self._ask(self._changes)
        return True

    def take(self, timeout: float) -> tuple[list[Reading], bool]:
        """What was found since, waiting at most so long for all that was asked for, and whether
        that is all of it."""
        found: list[Reading] = []
        end = time.monotonic() + timeout
        while self._answered != self._asked_for:
            left = end - time.monotonic()
            try:
                found += self._found.get(timeout=left) if left > 0 else self._found.get_nowait()
            except queue.Empty:
                return found, False
            self._answered += 1
        return found, True

    def _ask(self, measure: Callable[[], Scrape]) -> None:
        self._asked_for += 1
        self._asked.put(measure)

    def end(self, grace_s: float) -> None:
        """Let go of what it measures, unless a scrape hangs for longer."""
        self._asked.put(None)
        self._thread.join(grace_s)

    def _work(self) -> None:
        while (measure := self._asked.get()) is not None:
            self._found.put(self._measure(measure))
            if measure == self._scrape:
                self._scraping.clear()
        self._close()

    def _measure(self, measure: Callable[[], Scrape]) -> list[Reading]:
        started = time.monotonic()
        try:
            scrape = measure()
        except NovaCronError as err:
            self._counts.failed(self.name)
            self._complain(str(err))
            return []
        except Exception as err:  # noqa: BLE001 (a fault in a source must not end its thread)
            self._counts.failed(self.name)
            self._complain(f"the scrape failed: {err!r}", with_traceback=True)
            return []
        if measure == self._scrape:
            self._counts.scraped(self.name, time.monotonic() - started)
            self._count_groups(scrape)
            self._counts.failed(self.name, len(scrape.failures))
            self._complain("; ".join(scrape.failures))
        return scrape.readings

    def _count_groups(self, scrape: Scrape) -> None:
        for name, group in scrape.groups.items():
            if group.seconds is not None:
                self._counts.scraped(f"{self.name}.{name}", group.seconds)
            self._counts.stuck(f"{self.name}.{name}", group.stuck)

    def _complain(self, complaint: str, *, with_traceback: bool = False) -> None:
        """Say what is wrong when it changes, not at every tick; the counter tells how often."""
        if complaint == self._complaint:
            return
        if complaint:
            log.warning("%s: %s", self.name, complaint, exc_info=with_traceback)
        else:
            log.info("%s: measured again", self.name)
        self._complaint = complaint


def collect(
    sources: Sequence[Source], deadline_s: float, wake: Wake | None = None
) -> list[Reading]:
    """One tick: scrape all sources at once; what is not there by the deadline comes next time.

    A source that already hung at the start of the tick is not waited for, nor is any at the end.
    """
    asked = {source.name for source in sources if source.begin()}
    return _found(sources, asked, deadline_s, wake)


def collect_changes(sources: Sequence[Source], deadline_s: float, wake: Wake) -> list[Reading]:
    """Between two ticks: what has changed."""
    asked = {source.name for source in sources if source.begin_changes()}
    return _found(sources, asked, deadline_s, wake)


def _found(
    sources: Sequence[Source], asked: set[str], deadline_s: float, wake: Wake | None
) -> list[Reading]:
    """All that the sources have found by now, and what the `asked` find until the deadline."""
    end = time.monotonic() + deadline_s
    readings: list[Reading] = []
    for source in sources:
        found, is_all = source.take(0)
        readings += found
        while not is_all and source.name in asked and time.monotonic() < end:
            if wake is not None and wake.is_stopping:
                break
            found, is_all = source.take(min(_SLICE_S, max(0.0, end - time.monotonic())))
            readings += found
    return readings
