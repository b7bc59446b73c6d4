"""Start programs in order, keep them running, stop them in reverse."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from novacron_cli.up.program import Child, Program, how_it_ended
from novacron_contract.errors import Unavailable

_LONGEST_PAUSE = 60.0
_GRACE = 15.0
_STABLE_AFTER = 60.0  # a program that ran this long starts its next series of pauses anew


class Stopped(Exception):
    """Ctrl-C, or SIGTERM."""


class Supervisor:
    def __init__(self, logs: Path, say: Callable[[str, str], None]) -> None:
        self._started: list[list[Child]] = []  # together, one lot after the other
        self._logs = logs
        self._say = say
        self._stop = threading.Event()

    @property
    def children(self) -> list[Child]:
        return [child for lot in self._started for child in lot]

    def obey_signals(self) -> None:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda _number, _frame: self.request_stop())

    def request_stop(self) -> None:
        """Make whoever starts or watches raise Stopped."""
        self._stop.set()

    def start(self, *programs: Program) -> None:
        """Start them together and return once each is ready.

        Raises:
            Unavailable: one ended or is not ready in time; the message holds its last lines.
            Stopped: somebody asked for it.
        """
        lot: list[Child] = []
        self._started.append(lot)
        for program in programs:
            lot.append(Child(program, self._logs / f"{program.name}.log"))
            lot[-1].start()
        waiting = list(lot)
        while waiting:
            waiting = [child for child in waiting if not self._check_start(child)]
            self.pause(0.1)

    def pause(self, seconds: float) -> None:
        if self._stop.wait(seconds):
            raise Stopped

    def watch(self) -> None:
        """Start again whatever ends, until Stopped is raised."""
        due: dict[str, float] = {}
        while True:
            for child in self.children:
                self._look_after(child, due)
            self.pause(0.5)

    def stop(self) -> None:
        """Stop all in the reverse order of their start, those that started together together."""
        while self._started:
            lot = self._started.pop()
            for child in lot:
                child.ask_to_stop()
            for child in lot:
                if not child.stopped_within(_GRACE):
                    self._say(child.program.name, "did not stop in time and was killed")

    def _check_start(self, child: Child) -> bool:
        name, took = child.program.name, time.monotonic() - child.started
        if child.ended is not None:
            raise Unavailable(_with_log(f"{name} ended, {how_it_ended(child.ended)}", child))
        if child.program.is_ready():
            self._say(name, f"ready after {took:.1f} s")
            return True
        if took > child.program.patience:
            raise Unavailable(_with_log(f"{name} is not ready after {took:.0f} s", child))
        return False

    def _look_after(self, child: Child, due: dict[str, float]) -> None:
        name, now = child.program.name, time.monotonic()
        if child.running:
            child.trim_log()
        elif name not in due:
            child.kill_rest()
            if now - child.started > _STABLE_AFTER:
                child.failures = 0
            wait = min(2.0**child.failures, _LONGEST_PAUSE)
            child.failures += 1
            due[name] = now + wait
            ended = how_it_ended(child.ended or 0)
            self._say(name, _with_log(f"ended, {ended}; starts again in {wait:.0f} s", child))
        elif now >= due[name]:
            del due[name]
            child.start()
            self._say(name, "started again")


def _with_log(message: str, child: Child) -> str:
    return "\n".join([message, *(f"    | {line}" for line in child.last_lines()), ""]).rstrip()


def memory(children: Iterable[Child]) -> dict[str, int]:
    return {child.program.name: child.memory() for child in children}
