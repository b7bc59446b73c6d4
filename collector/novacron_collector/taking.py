"""Whether a client takes what it is sent: one that stops reading holds whoever makes its answer."""

from __future__ import annotations

import asyncio
import fcntl
import struct
import termios
from collections.abc import Callable


class Taking:
    """Of one connection. While more waits for the client than the transport likes to hold,
    something of it must go within `stalled_s`, and an answer as a whole within `send_s`.

    What the kernel holds counts as well: it asks for more only when a good part of some megabytes
    is gone, which takes a slow client longer than it may.
    """

    def __init__(
        self,
        transport: asyncio.Transport,
        stalled_s: float,
        send_s: float,
        give_up: Callable[[str], None],
    ) -> None:
        self._transport = transport
        self._stalled_s = stalled_s
        self._send_s = send_s
        self._give_up = give_up
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._since: float | None = None  # the answer in hand had to wait for the first time

    def waits(self) -> None:
        """The client has enough for now."""
        if self._since is None:
            self._since = self._loop.time()
        if self._is_late():  # here as well: who takes a little in time never meets the timer
            self._give_up_late()
        else:
            self._watch()

    def flows(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def answered(self) -> None:
        """What comes now is of another answer."""
        self._since = None

    def _watch(self) -> None:
        self._timer = self._loop.call_later(self._stalled_s, self._look, self._left())

    def _look(self, before: int) -> None:
        self._timer = None
        if self._left() >= before:
            self._give_up(f"took nothing for {self._stalled_s:g} s")
        elif self._is_late():
            self._give_up_late()
        else:
            self._watch()

    def _is_late(self) -> bool:
        return self._since is not None and self._loop.time() - self._since > self._send_s

    def _give_up_late(self) -> None:
        self._give_up(f"did not take all of it in {self._send_s:g} s")

    def _left(self) -> int:
        """Bytes that the client's machine has not got yet."""
        sock = self._transport.get_extra_info("socket")
        found = fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, struct.pack("i", 0))
        return self._transport.get_write_buffer_size() + int(struct.unpack("i", found)[0])
