"""Calls of libvirt that change something: asked once, each with a deadline."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from typing import TypeVar

import libvirt

from novacron_agent.providers.kvm.caller import Ask, Caller
from novacron_agent.providers.kvm.connection import Connection
from novacron_agent.providers.kvm.hanging import hanging_at
from novacron_agent.providers.lifecycle import (
    EffectFailed,
    EffectUnknown,
    NotPossible,
    VmNotFound,
)
from novacron_contract.errors import NovaCronError, Refused, Unavailable

T = TypeVar("T")

_IDLE = 2  # threads that are kept, each with its connection
_MEANWHILE_S = 0.5
_SLACK_S = 1.0  # what looks at the deadline itself ends by itself

_GRANT = "let this user command VMs: see docs/install.md, 'Commands'"
_REFUSED = frozenset(
    {
        libvirt.VIR_ERR_ACCESS_DENIED,
        libvirt.VIR_ERR_AUTH_CANCELLED,
        libvirt.VIR_ERR_AUTH_FAILED,
        libvirt.VIR_ERR_AUTH_UNAVAILABLE,
        libvirt.VIR_ERR_OPERATION_DENIED,
    }
)


class WriteConnection(Connection):
    """`use` asks once. A connection that broke while nobody used it is made anew before."""

    def use(self, action: Callable[[libvirt.virConnect], T]) -> T:
        conn = self._conn
        if conn is not None and not is_alive(conn):
            self.close()
        try:
            conn = self._conn or self._open()
        except libvirt.libvirtError as err:
            self._conn = None
            raise _not_let_in(self.uri, err) from err
        try:
            return action(conn)
        except libvirt.libvirtError as err:
            alive = is_alive(conn)
            if not alive:
                self.close()
            raise meaning(err, alive=alive) from err

    def _connect(self) -> libvirt.virConnect:
        return libvirt.open(self.uri)


class Control:
    """Threads for calls, as many as there are calls at once. Who hangs keeps its thread; other
    calls for the same VM are refused meanwhile, so that they do not hang behind it."""

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self._lock = threading.Lock()
        self._idle: list[Caller] = []
        self._hanging = hanging_at(uri)
        self._closed = False

    def ask(
        self,
        vm_id: str,
        ask: Ask[T],
        deadline: float,
        *,
        step: str = "",
        meanwhile: Callable[[], None] | None = None,
    ) -> T:
        """`step` names what another call of this VM that hangs is no obstacle for, as what needs no
        answer of its QEMU; one of the same name is waited for. `meanwhile` is called again and
        again until there is an answer, and may ask something else.

        Raises:
            NovaCronError: what libvirt said, by its meaning.
            Unavailable: nothing was asked, since too much hangs.
            EffectUnknown: no answer by then.
        """
        self._hanging.admit(vm_id, step, deadline)
        caller = self._take()
        call = caller.begin(ask)
        while meanwhile is not None and time.monotonic() < deadline:
            if call.done.wait(_MEANWHILE_S):
                break
            meanwhile()
        left = max(0.0, deadline - time.monotonic())
        if not call.done.wait(left + _SLACK_S):
            caller.end()
            self._hanging.add(vm_id, step, call)  # type: ignore[arg-type]
            raise EffectUnknown(
                f"no answer from libvirt at {self._uri} in time, and it may still be done: "
                "does the VM's QEMU hang?"
            )
        self._give_back(caller)
        if call.error is not None:
            raise call.error
        return call.result  # type: ignore[return-value]

    def may_change(self, vm_id: str) -> bool:
        """Whether a call that hangs may still have its effect on this VM."""
        return self._hanging.may_change(vm_id)

    def close(self) -> None:
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for caller in idle:
            caller.end()

    def _take(self) -> Caller:
        with self._lock:
            if self._idle:
                return self._idle.pop()
        try:
            return Caller(self._uri, "command libvirt", WriteConnection(self._uri))
        except RuntimeError as err:
            raise Unavailable(f"no thread for a call of libvirt ({err})") from err

    def _give_back(self, caller: Caller) -> None:
        with self._lock:
            if not self._closed and len(self._idle) < _IDLE:
                self._idle.append(caller)
                return
        caller.end()


def meaning(err: libvirt.libvirtError, *, alive: bool) -> NovaCronError:
    """What an error says of the effect. On a connection that broke, nobody knows."""
    said = " ".join(str(err).split()).rstrip(".")
    code = err.get_error_code()
    if not alive:
        return EffectUnknown(f"the connection to libvirt broke ({said})")
    if code == libvirt.VIR_ERR_OPERATION_TIMEOUT:
        return EffectUnknown(f"{said}: what was asked of it before may still be done")
    if code == libvirt.VIR_ERR_NO_DOMAIN:
        return VmNotFound("this host has no such VM")
    if code in _REFUSED:
        return Refused(f"libvirt does not allow it ({said}); {_GRANT}")
    if code == libvirt.VIR_ERR_OPERATION_INVALID:
        return NotPossible(said)
    return EffectFailed(said)


def _not_let_in(uri: str, err: libvirt.libvirtError) -> NovaCronError:
    said = " ".join(str(err).split()).rstrip(".")
    if err.get_error_code() in _REFUSED or "Permission denied" in said:
        return Refused(f"libvirt at {uri} lets this user only look ({said}); {_GRANT}")
    return Unavailable(f"no answer from libvirt at {uri} ({said}); is libvirtd running?")


def is_alive(conn: libvirt.virConnect) -> bool:
    with contextlib.suppress(libvirt.libvirtError):
        return bool(conn.isAlive())
    return False
