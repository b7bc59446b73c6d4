"""This process as the init of what a lab leaves to itself: QEMUs that ended are gone at once.

libvirtd waits until a QEMU that it ends, or that crashed, is gone; the first process of a container
may take two seconds to notice, a host's init does not.
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER of prctl(2)
_OURS = ("qemu-system", "libvirtd")  # nobody else here waits for these
_EVERY_S = 0.02


@contextmanager
def reaping() -> Iterator[None]:
    ended = threading.Event()
    thread = threading.Thread(target=_reap, args=(ended,), name="init", daemon=True)
    _become_subreaper(is_one=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        _become_subreaper(is_one=False)


def _become_subreaper(*, is_one: bool) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_SUBREAPER, int(is_one), 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")


def _reap(ended: threading.Event) -> None:
    """Look at who has ended without taking them away from whoever waits for them."""
    while not ended.wait(_EVERY_S):
        with suppress(ChildProcessError):
            flags = os.WEXITED | os.WNOHANG | os.WNOWAIT
            while (found := os.waitid(os.P_ALL, 0, flags)) is not None:
                if not _name(found.si_pid).startswith(_OURS):
                    break
                os.waitpid(found.si_pid, 0)


def _name(pid: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text()
    return ""
