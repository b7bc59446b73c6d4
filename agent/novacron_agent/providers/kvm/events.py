"""libvirt's word that a guest has changed, as it comes."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable
from functools import cache
from typing import Any

import libvirt

from novacron_contract.metrics import VmState

log = logging.getLogger(__name__)

# Of an event that a guest has ended: the state it is in, should it be gone with its end.
_ENDED = {
    libvirt.VIR_DOMAIN_EVENT_STOPPED_CRASHED: VmState.CRASHED,
    libvirt.VIR_DOMAIN_EVENT_STOPPED_FAILED: VmState.CRASHED,
}
_MIGRATED = libvirt.VIR_DOMAIN_EVENT_STOPPED_MIGRATED
_STOPPED = libvirt.VIR_DOMAIN_EVENT_STOPPED
_OF_THE_DEFINITION = frozenset(
    {libvirt.VIR_DOMAIN_EVENT_DEFINED, libvirt.VIR_DOMAIN_EVENT_UNDEFINED}
)
_RENAMED = (libvirt.VIR_DOMAIN_EVENT_DEFINED, libvirt.VIR_DOMAIN_EVENT_DEFINED_RENAMED)


@cache
def start_event_loop() -> None:
    """libvirt's own, for all connections of the process: to be called before one is opened."""
    libvirt.virEventRegisterDefaultImpl()
    threading.Thread(target=_loop, name="libvirt events", daemon=True).start()


def _loop() -> None:
    while True:
        try:
            libvirt.virEventRunDefaultImpl()
        except libvirt.libvirtError:
            log.warning("libvirt's events could not be waited for", exc_info=True)
            time.sleep(1)


class Changes:
    """Which guests have changed since they were taken last. Filled by libvirt's thread."""

    def __init__(self, notify: Callable[[], None]) -> None:
        self._notify = notify
        self._lock = threading.Lock()
        self._changed: dict[str, VmState | None] = {}
        self._registered: int | None = None

    def watch(self, conn: libvirt.virConnect) -> None:
        """Not every hypervisor tells of changes: then they are seen at the next tick."""
        try:
            lifecycle = libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE
            self._registered = conn.domainEventRegisterAny(None, lifecycle, self._on_change, None)
        except libvirt.libvirtError as err:
            log.info("this hypervisor does not tell of changes: %s", err)

    def forget(self, conn: libvirt.virConnect) -> None:
        """Before it is closed: libvirt keeps a connection as long as somebody listens to it."""
        if self._registered is not None:
            registered, self._registered = self._registered, None
            with contextlib.suppress(libvirt.libvirtError):  # it broke
                conn.domainEventDeregisterAny(registered)

    def note(self, uuid: str) -> None:
        """One that libvirt does not tell of."""
        with self._lock:
            self._changed.setdefault(uuid)
        self._notify()

    def put_back(self, changed: dict[str, VmState | None]) -> None:
        """What could not be told; what has happened since is newer."""
        with self._lock:
            self._changed = {**changed, **self._changed}

    def take(self) -> dict[str, VmState | None]:
        """{uuid: the state it ended in, None while it goes on or another host has it}."""
        with self._lock:
            changed, self._changed = self._changed, {}
        return changed

    def _on_change(self, _conn: Any, domain: Any, event: int, detail: int, _opaque: Any) -> None:
        uuid = domain.UUIDString()
        with self._lock:
            if event == _STOPPED and detail != _MIGRATED:
                self._changed[uuid] = _ENDED.get(detail, VmState.STOPPED)
            elif event not in _OF_THE_DEFINITION or (event, detail) == _RENAMED:
                # whoever deletes a guest ends it first
                self._changed[uuid] = None
        self._notify()
