"""The agent as a service: it measures until it is told to end, and begins anew with settings that
were changed."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from novacron_agent.agent import measuring, run, verify
from novacron_agent.commands.service import CommandService
from novacron_agent.commands.situation import situation
from novacron_agent.enrolment.renewal import Renewal
from novacron_agent.identity import persistent_id
from novacron_agent.settings import Settings, read_settings
from novacron_agent.wake import Wake
from novacron_contract.errors import ConfigError

log = logging.getLogger(__name__)

_END_S = 8.0  # from the signal to the end, even if something hangs that should not


def serve(path: Path) -> None:
    """
    Raises:
        ConfigError: the settings are wrong at the start. Later they are refused, and the old stay.
    """
    settings: Settings | None = read_settings(path)
    commands = CommandService()
    orders = Orders(path, commands.stop)
    while settings is not None:
        logging.getLogger().setLevel(settings.agent.log_level.upper())
        wake = Wake()
        measured = measuring(settings, path, wake)
        agent_id = persistent_id(settings.agent.id_file)
        orders.obeyed_by(wake)
        orders.listen()
        renewal = Renewal(settings.identity, orders.reload)
        renewal.start()
        commands.adopt(situation(settings, path))
        run(settings, agent_id, measured, wake, commands)
        renewal.stop()
        settings = orders.next_settings()
    commands.close()


class Orders:
    """What was told by signals. The file is read by a thread of its own: its disk may hang."""

    def __init__(self, path: Path, ending: Callable[[], None] = lambda: None) -> None:
        self._path, self._at_end = path, ending
        self._lock = threading.Lock()
        self._wake: Wake | None = None
        self._next: Settings | None = None
        self._ending = False
        self._asked = threading.Event()
        self._is_listening = False

    def listen(self) -> None:
        """From the first call on; what is wrong before that ends the program."""
        if not self._is_listening:
            self._is_listening = True
            threading.Thread(target=self._read, name="settings", daemon=True).start()
            _listen(self)

    def obeyed_by(self, wake: Wake) -> None:
        """Whoever waits there ends as soon as there is an order."""
        with self._lock:
            self._wake = wake
            if self._ending or self._next is not None:
                wake.stop()

    def next_settings(self) -> Settings | None:
        """None for the end."""
        with self._lock:
            settings, self._next = self._next, None
            return None if self._ending else settings

    def end(self) -> None:
        self._at_end()
        with self._lock:
            self._ending = True
            if self._wake is not None:
                self._wake.stop()

    def reload(self) -> None:
        """Many at once become one."""
        self._asked.set()

    def _read(self) -> None:
        while self._asked.wait():
            self._asked.clear()
            try:
                settings = read_settings(self._path)
                verify(settings, self._path)
            except ConfigError as err:
                log.error("%s; the settings before stay", err)
            except Exception:  # the outermost edge of this thread: the next order is obeyed
                log.exception("%s: cannot be read again; the settings before stay", self._path)
            else:
                self._accept(settings)

    def _accept(self, settings: Settings) -> None:
        with self._lock:
            self._next = settings
            log.info("%s: was read again, and takes effect", self._path)
            if self._wake is not None:
                self._wake.stop()


def _listen(orders: Orders) -> None:
    """A thread reads of signals in a pipe.

    Python runs handlers in the main thread alone. A signal that comes just before that thread falls
    asleep would be handled when it wakes: at the next tick.
    """
    told, tell = os.pipe()
    os.set_blocking(tell, False)
    threading.Thread(target=_obey, args=(told, orders), name="signals", daemon=True).start()
    signal.set_wakeup_fd(tell, warn_on_full_buffer=False)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda _number, _frame: None)  # the pipe has it already


def _obey(told: int, orders: Orders) -> None:
    """A terminal that is closed says SIGHUP, too: then nobody is left who could end us."""
    has_terminal = sys.stderr.isatty()
    while os.read(told, 1)[0] == signal.SIGHUP:
        if has_terminal and not sys.stderr.isatty():
            break
        orders.reload()
    orders.end()
    time.sleep(_END_S)
    os._exit(1)  # whatever it is that hangs, such as the reader of our log
