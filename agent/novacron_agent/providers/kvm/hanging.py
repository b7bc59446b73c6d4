"""Calls that hang in a libvirt: they outlive whoever asked, and new settings."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

from novacron_agent.providers.kvm.caller import Call
from novacron_contract.errors import Unavailable

_FOR_EFFECTS = 4  # so that there is room left for looking, and for taking power away
_ALL = 8  # libvirtd has twenty threads for all its users, and who measures may hang in four


@dataclass(frozen=True, slots=True)
class _Hung:
    vm_id: str
    step: str
    call: Call[object]


class Hanging:
    def __init__(self, uri: str) -> None:
        self._uri = uri
        self._lock = threading.Lock()
        self._hung: list[_Hung] = []

    def add(self, vm_id: str, step: str, call: Call[object]) -> None:
        with self._lock:
            self._hung.append(_Hung(vm_id, step, call))

    def admit(self, vm_id: str, step: str, until: float) -> None:
        """Waits for a call that is the same step for the same VM: there are never two.

        Raises:
            Unavailable: too much hangs.
        """
        if step:
            for one in self._of(vm_id):
                if one.step == step and not one.call.done.wait(max(0.0, until - time.monotonic())):
                    raise Unavailable(f"an earlier call ({step}) for this VM hangs in libvirt")
        elif self._of(vm_id):
            raise Unavailable("an earlier call for this VM still hangs in libvirt")
        number = self.number
        if number >= (_ALL if step else _FOR_EFFECTS):
            raise Unavailable(f"{number} calls hang in libvirt at {self._uri}")

    @property
    def number(self) -> int:
        return len(self._now())

    def may_change(self, vm_id: str) -> bool:
        """Whether a call that hangs may still have an effect that nobody waits for any more."""
        return any(not one.step for one in self._of(vm_id))

    def _of(self, vm_id: str) -> list[_Hung]:
        return [one for one in self._now() if one.vm_id == vm_id]

    def _now(self) -> list[_Hung]:
        with self._lock:
            self._hung = [one for one in self._hung if not one.call.done.is_set()]
            return self._hung


_lock = threading.Lock()
_by_uri: dict[str, Hanging] = {}


def hanging_at(uri: str) -> Hanging:
    """The same one for everybody in this process."""
    with _lock:
        return _by_uri.setdefault(uri, Hanging(uri))
