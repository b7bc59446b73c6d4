"""Calls of libvirt that may never return, each with a deadline."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import libvirt

from novacron_agent.providers.kvm.connection import Connection

T = TypeVar("T")
Ask = Callable[[libvirt.virConnect], T]


@dataclass(slots=True)
class Call(Generic[T]):
    """`result` or `error` once it is `done`."""

    ask: Ask[T]
    done: threading.Event = field(default_factory=threading.Event)
    result: T | None = None
    error: Exception | None = None


class Caller:
    """One thread with a connection of its own: libvirt has no time limits, so who waits for a call
    that hangs leaves the thread to it, and takes another."""

    def __init__(self, uri: str, name: str, connection: Connection | None = None) -> None:
        self._connection = connection or Connection(uri)
        self._asked: queue.SimpleQueue[Call[object] | None] = queue.SimpleQueue()
        # A daemon: a thread that hangs inside libvirt must not keep the process from ending
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def begin(self, ask: Ask[T]) -> Call[T]:
        call = Call(ask)
        self._asked.put(call)  # type: ignore[arg-type]
        return call

    def end(self) -> None:
        """Let go of the connection, once the calls that were begun have returned."""
        self._asked.put(None)

    def _work(self) -> None:
        while (call := self._asked.get()) is not None:
            try:
                call.result = self._connection.use(call.ask)
            except Exception as err:  # noqa: BLE001 (told to who asked)
                call.error = err
            call.done.set()
        with contextlib.suppress(libvirt.libvirtError):
            self._connection.close()
