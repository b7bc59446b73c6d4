"""All checks, each in a thread of its own and with a deadline: what they ask may hang."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from novacron_agent.check.clock import check_clock
from novacron_agent.check.commands import check_commands
from novacron_agent.check.destination import check_destination
from novacron_agent.check.guests import check_guests
from novacron_agent.check.identity import check_identity
from novacron_agent.check.permissions import check_permissions
from novacron_agent.finding import Finding, fail, ok
from novacron_agent.settings import Settings

PATIENCE_S = 15.0

Ask = Callable[[], list[Finding]]


def findings(settings: Settings, path: Path, version: str) -> Iterator[Finding]:
    """In the order in which they are best mended."""
    yield ok(str(path), "the settings are valid")
    asked: list[tuple[str, Ask]] = [
        ("identity", partial(check_identity, settings.identity)),
        ("permissions", partial(check_permissions, settings, path)),
        ("clock", check_clock),
        ("guests", partial(check_guests, settings, path, PATIENCE_S)),
        ("commands", partial(check_commands, settings, path, PATIENCE_S)),
    ]
    asked += [
        (f"destination {there.name}", partial(check_destination, there, version))
        for there in settings.all_destinations
    ]
    for take in [_begun(what, ask) for what, ask in asked]:
        yield from take()


def _begun(what: str, ask: Ask) -> Ask:
    """Begin now, in a daemon thread; what is returned waits for it."""
    answers: queue.SimpleQueue[list[Finding]] = queue.SimpleQueue()

    def work() -> None:
        try:
            answers.put(ask())
        except Exception as err:  # noqa: BLE001 (the outermost edge of this thread: it is told)
            answers.put([fail(what, f"the check itself failed: {err!r}", "please report this")])

    def take() -> list[Finding]:
        try:
            return answers.get(timeout=PATIENCE_S + 1)
        except queue.Empty:
            why = f"no answer within {PATIENCE_S + 1:g} s"
            return [fail(what, why, "look for what hangs: a disk, a network, a name server")]

    threading.Thread(target=work, name=f"check {what}", daemon=True).start()
    return take
