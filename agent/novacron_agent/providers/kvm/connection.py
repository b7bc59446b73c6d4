"""A connection to libvirt that outlives libvirtd's restarts."""

from __future__ import annotations

import contextlib
import time
import urllib.parse
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import libvirt

from novacron_agent.providers.kvm.events import start_event_loop
from novacron_contract.errors import Unavailable

T = TypeVar("T")

# A libvirtd that answers nothing for so long is given up, and every call that waits for it ends.
_ALIVE_EVERY_S, _ALIVE_MISSED = 5, 3
_AGAIN_S = 0.1
_RUN = Path("/run/libvirt/libvirt-sock")


class Connection:
    """Opened at the first use, and again when it broke. Read-only: measuring needs no more.

    `opened` is called with each new one, `closing` with each before it is closed. `patience_s`: so
    long a libvirtd that was there is waited for, as one that is restarted is back soon.
    """

    def __init__(
        self,
        uri: str,
        opened: Callable[[libvirt.virConnect], None] = lambda _: None,
        closing: Callable[[libvirt.virConnect], None] = lambda _: None,
        patience_s: float = 0.0,
    ) -> None:
        self.uri = uri
        self._opened, self._closing, self._patience_s = opened, closing, patience_s
        self._conn: libvirt.virConnect | None = None

    def use(self, action: Callable[[libvirt.virConnect], T]) -> T:
        """Run `action`; after an error on a connection that had been open, once more on a new one:
        libvirtd may have been restarted since.

        Raises:
            Unavailable: no connection, or `action` failed on a fresh one.
        """
        reused = self._conn is not None
        try:
            return self._attempt(action)
        except libvirt.libvirtError as err:
            self.close()
            if not reused:
                raise self._unavailable(err) from err
        try:
            self._wait_for_it()
            return self._attempt(action)
        except libvirt.libvirtError as err:
            self.close()
            raise self._unavailable(err) from err

    def close(self) -> None:
        conn, self._conn = self._conn, None
        if conn is not None:
            self._closing(conn)
            with contextlib.suppress(libvirt.libvirtError):
                conn.close()

    def _attempt(self, action: Callable[[libvirt.virConnect], T]) -> T:
        return action(self._conn or self._open())

    def _open(self) -> libvirt.virConnect:
        # libvirt prints every error to stderr as well, unless it is given a handler
        libvirt.registerErrorHandler(lambda _context, _error: None, None)
        start_event_loop()
        self._conn = conn = self._connect()
        with contextlib.suppress(libvirt.libvirtError):  # a hypervisor in this process has none
            conn.setKeepAlive(_ALIVE_EVERY_S, _ALIVE_MISSED)
        self._opened(conn)
        return conn

    def _connect(self) -> libvirt.virConnect:
        return libvirt.openReadOnly(self.uri)

    def _wait_for_it(self) -> None:
        deadline = time.monotonic() + self._patience_s
        while self._conn is None:
            try:
                self._open()
            except libvirt.libvirtError:
                if time.monotonic() >= deadline:
                    raise
                time.sleep(_AGAIN_S)

    def _unavailable(self, err: libvirt.libvirtError) -> Unavailable:
        reason = " ".join(str(err).split()).rstrip(".")
        return Unavailable(
            f"no answer from libvirt at {self.uri} ({reason}); "
            "is libvirtd running, and may this user connect to it?"
        )


def is_local(uri: str) -> bool:
    """Whether the hypervisor is this machine (libvirt's mock driver is not one)."""
    parts = urllib.parse.urlsplit(uri)
    return not parts.hostname and parts.scheme.partition("+")[0] not in ("test", "")


def run_folder(uri: str) -> Path | None:
    """Where a local libvirtd keeps the pid file of every QEMU it runs, beside its socket."""
    parts = urllib.parse.urlsplit(uri)
    if not is_local(uri) or not parts.scheme.startswith("qemu") or parts.path != "/system":
        return None
    socket = urllib.parse.parse_qs(parts.query).get("socket", [str(_RUN)])[0]
    return Path(socket).parent / "qemu"
