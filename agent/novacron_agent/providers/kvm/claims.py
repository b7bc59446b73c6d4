"""Volumes that commands of this agent use, or remove, just now.

Between a look at who uses a volume and its removal nobody else begins to use it. Who asks holds it
from its own thread, until libvirt has answered: nobody waits for another that hangs.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import libvirt

from novacron_agent.providers.kvm.volumes import Found, real, shown, volume_of
from novacron_agent.providers.lifecycle import NotPossible

_lock = threading.Lock()
_used: Counter[str] = Counter()
_going: set[str] = set()


@contextmanager
def using(conn: libvirt.virConnect, volumes: Iterable[Found]) -> Iterator[None]:
    """Until it is seen at whoever uses them that they do.

    Raises:
        NotPossible: one is being removed, or is gone since it was found.
    """
    wanted = {real(one.path): one for one in volumes}
    with _lock:
        for path, one in wanted.items():
            if path in _going:
                raise NotPossible(f"volume {shown(one.name)} is being removed")
        _used.update(wanted.keys())
    try:
        for one in wanted.values():
            volume_of(conn, one.pool, one.name)
        yield
    finally:
        with _lock:
            for path in wanted:
                _used[path] -= 1
                if not _used[path]:
                    del _used[path]


@contextmanager
def removing(volumes: Iterable[libvirt.virStorageVol]) -> Iterator[None]:
    """From before it is looked at who uses them.

    Raises:
        NotPossible: another command uses or removes one.
    """
    going = {real(one.path()): str(one.name()) for one in volumes}
    with _lock:
        for path, name in going.items():
            if _used[path] > 0 or path in _going:
                raise NotPossible(
                    f"volume {shown(name)} is being used or removed by another command"
                )
        _going.update(going)
    try:
        yield
    finally:
        with _lock:
            _going.difference_update(going)
