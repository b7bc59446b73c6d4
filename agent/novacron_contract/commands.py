"""Commands to VMs: what can be ordered, how an order and the reports of it look on the wire.

Nothing here knows how messages travel: today by HTTPS long-poll (`GET /v1/agents/self/commands`,
`POST /v1/agents/self/events`).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Any, TypeVar

from novacron_contract import vm_spec
from novacron_contract.access import Permission
from novacron_contract.errors import BadMessage
from novacron_contract.metrics import VmState
from novacron_contract.vm_spec import devices
from novacron_contract.vm_spec.shapes import Text

MAX_TEXT = 2000  # of a reason or an error: longer ones are cut
_LEAST_GRACE_S = 5.0  # no guest shuts down in less
MAX_DETAIL = 16 * 1024  # bytes of a report's detail as JSON
MAX_OBJECT = 128 * 1024  # bytes of an argument that is an object, as JSON
Value = float | str | bool | Mapping[str, Any]  # of an argument
_Choice = TypeVar("_Choice", bound=StrEnum)
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class Effect(StrEnum):
    """What may be done again when nobody knows whether it was done.

    CONVERGENT  look at the VM, act only where it is not as ordered: exactly one effect
    PROBEABLE   the effect carries the command's id: look for it, act where it is absent
    OPAQUE      nothing tells: never done again, the outcome may stay unknown
    """

    CONVERGENT = "convergent"
    PROBEABLE = "probeable"
    OPAQUE = "opaque"


class Verb(StrEnum):
    START = "start"
    STOP = "stop"
    REBOOT = "reboot"
    RESET = "reset"
    SUSPEND = "suspend"
    RESUME = "resume"
    SAVE = "save"
    RESIZE = "resize"
    RENAME = "rename"
    CREATE = "create"
    ATTACH_DISK = "attach-disk"
    DETACH_DISK = "detach-disk"
    GROW_DISK = "grow-disk"
    ATTACH_NIC = "attach-nic"
    DETACH_NIC = "detach-nic"
    DELETE = "delete"
    SNAPSHOT = "snapshot"
    REVERT = "revert"
    DELETE_SNAPSHOT = "delete-snapshot"
    SNAPSHOTS = "snapshots"


class State(StrEnum):
    """queued → delivered → accepted → running → one of the final ones, which never change."""

    QUEUED = "queued"
    DELIVERED = "delivered"  # the agent was told
    ACCEPTED = "accepted"  # it is in the agent's journal
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    REJECTED = "rejected"  # the agent may not, cannot, or the VM is not as expected
    EXPIRED = "expired"  # its time was over before it began
    CANCELLED = "cancelled"  # before it began
    OUTCOME_UNKNOWN = "outcome_unknown"  # it began, and nobody can tell what became of it

    @property
    def is_final(self) -> bool:
        return self in _FINAL


_FINAL = frozenset(
    {
        State.SUCCEEDED,
        State.FAILED,
        State.REJECTED,
        State.EXPIRED,
        State.CANCELLED,
        State.OUTCOME_UNKNOWN,
    }
)


class Force(StrEnum):
    """When `stop` takes the power away."""

    NEVER = "never"
    AFTER_GRACE = "after-grace"
    NOW = "now"


@dataclass(frozen=True, slots=True, kw_only=True)
class Argument:
    """`default` gives the type; numbers are in the unit that the name ends with. An object, and a
    text that is not just any, is read by `read`, which is given it and its name. One whose default
    is not taken is required. `schema` is the JSON schema of an object."""

    default: Value
    minimum: float = -math.inf
    maximum: float = math.inf
    choices: tuple[str, ...] = ()
    whole: bool = False  # of numbers
    destructive: bool = False  # where it is true
    summary: str
    read: Callable[[object, str], Any] | None = None
    schema: Callable[[], Mapping[str, Any]] | None = None

    @property
    def is_required(self) -> bool:
        try:
            self.parse("", self.default)
        except BadMessage:
            return True
        return False

    def parse(self, name: str, raw: object) -> Value:
        if isinstance(self.default, Mapping):
            return self._object(name, raw)
        if isinstance(self.default, bool):
            if isinstance(raw, bool):
                return raw
            raise BadMessage(f"{name}: expected true or false")
        if isinstance(self.default, str):
            if self.read is not None:
                return str(self.read(raw, name))
            if isinstance(raw, str) and (not self.choices or raw in self.choices):
                return raw
            raise BadMessage(f"{name}: expected {' or '.join(self.choices) or 'text'}")
        return self._number(name, raw)

    def _number(self, name: str, raw: object) -> float:
        if isinstance(raw, int | float) and not isinstance(raw, bool):
            in_range = self.minimum <= raw <= self.maximum
            if in_range and not self.whole:
                return float(raw)
            if in_range and raw == int(raw):
                return int(raw)
        what = "a whole number" if self.whole else "a number"
        raise BadMessage(f"{name}: expected {what} from {self.minimum:g} to {self.maximum:g}")

    def _object(self, name: str, raw: object) -> Mapping[str, Any]:
        if not isinstance(raw, Mapping) or self.read is None:
            raise BadMessage(f"{name}: expected an object")
        found: Mapping[str, Any] = self.read(raw, name)
        if len(json.dumps(found, ensure_ascii=False).encode()) > MAX_OBJECT:
            raise BadMessage(f"{name}: allowed: {MAX_OBJECT} bytes as JSON")
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class VerbSpec:
    """`sensible_in`: states of a VM in which people are offered it; none: it makes one.
    `timeout_s`: an agent gives up so long after it began, unless ordered otherwise. `any_of`:
    arguments of which one at least has to say something. `alone`: it is for one VM. `at_stake`:
    what is lost by one that is destructive."""

    verb: Verb
    effect: Effect
    permission: Permission
    summary: str
    sensible_in: frozenset[VmState]
    arguments: Mapping[str, Argument] = field(default_factory=dict)
    any_of: tuple[str, ...] = ()
    timeout_s: float = 60.0
    destructive: bool = False
    alone: bool = False
    at_stake: str = "guests may lose what they have not written"

    def parse(self, raw: object) -> dict[str, Value]:
        """All arguments, with defaults where none was given.

        Raises:
            BadMessage: one is unknown, missing, or out of its range.
        """
        if not isinstance(raw, Mapping):
            raise BadMessage("arguments: expected an object")
        for name in raw:
            if name not in self.arguments:
                allowed = ", ".join(self.arguments) or "none"
                raise BadMessage(f"arguments: {str(name)[:80]!r}: unknown; allowed: {allowed}")
        found = {
            name: argument.parse(f"arguments: {name}", raw.get(name, argument.default))
            for name, argument in self.arguments.items()
        }
        if self.any_of and not any(found[name] for name in self.any_of):
            raise BadMessage(f"arguments: give {' or '.join(self.any_of)}")
        return found

    def is_destructive(self, arguments: Mapping[str, object]) -> bool:
        """Whether a guest may lose what it has not written, or what it has."""
        if arguments.get("plan") is True:
            return False
        if any(
            of.destructive and arguments.get(name) is True for name, of in self.arguments.items()
        ):
            return True
        force, grace_s = arguments.get("force"), arguments.get("grace_s", 0.0)
        at_once = isinstance(grace_s, int | float) and grace_s < _LEAST_GRACE_S
        return self.destructive or force == Force.NOW or (force == Force.AFTER_GRACE and at_once)


_GRACE = Argument(default=120.0, minimum=0, maximum=3600, summary="for the guest to shut down")
_FORCE = Argument(
    default=Force.AFTER_GRACE.value, choices=tuple(Force), summary="when to take the power away"
)
_POWER = Permission.VM_POWER


def _spec(raw: object, name: str) -> Mapping[str, Any]:
    return vm_spec.parse(raw, name).as_json()


_SPEC = Argument(default={}, read=_spec, schema=vm_spec.schema, summary="what the VM is made from")
_PLAN = Argument(default=False, summary="only say what would go, and why; nothing is done")
_KEEP = Argument(default=False, summary="leave the disks that were created with it")
_VCPUS = Argument(
    default=0, maximum=vm_spec.MAX_VCPUS, minimum=0, whole=True, summary="virtual CPUs; 0: as it is"
)
_MEMORY = Argument(
    default=0, maximum=vm_spec.MAX_MIB, minimum=0, whole=True, summary="of memory; 0: as it is"
)
_LIVE = Argument(default=False, summary="refuse what would wait for the next start")
_NEW_NAME = Argument(
    default="", read=vm_spec.NAME.parse, summary="unlike that of any other VM on its host"
)
_DISCARD = Argument(
    default=False,
    destructive=True,
    summary="start a VM that was saved afresh: what was in its memory is lost",
)
_THOUGH_IT_RUNS = Argument(default=False, summary="even if it runs: its power is taken away first")
_DISK = Argument(
    default={}, read=devices.disk_json, schema=devices.disk_schema, summary="as in the spec of a VM"
)
_NIC = Argument(
    default={},
    read=devices.network_json,
    schema=devices.network_schema,
    summary="as in the spec of a VM",
)
_DISK_NAME = Argument(
    default="", read=devices.disk_name, summary="its name for the host, as vda, or POOL/VOLUME"
)
_SIZE_GIB = Argument(default=0.0, minimum=1 / 1024, maximum=65536, summary="what it is to have")
_MAC = Argument(default="", read=devices.mac, summary="the card's MAC address")
_ITS_VOLUME = Argument(
    default=False,
    destructive=True,
    summary="and delete its volume, which has to be made with the VM",
)
_BOOT_DISK = Argument(
    default=False, destructive=True, summary="even the disk that a VM that runs was started from"
)
_WITH_DEVICES = frozenset(
    {VmState.RUNNING, VmState.BLOCKED, VmState.PAUSED, VmState.STOPPED, VmState.CRASHED}
)
# QEMU finds snapshots by a name or by an id, which is a small number; and where libvirt quotes
# a name it may become another one
_NO_ID = "(?![0-9]{1,8}$)"
_NEW_SNAPSHOT = Argument(
    default="",
    read=Text(
        most=128,
        least=0,
        pattern=rf"{_NO_ID}(\w[\w .:+-]*(?<! ))?",
        allowed="letters, digits, spaces and .:+_-, beginning with a letter or digit; no number",
    ).parse,
    summary="its name, unlike any other of the VM; empty: one is made",
)
_SNAPSHOT = Argument(
    default="",
    read=Text(
        most=255, pattern=f"{_NO_ID}[^/]+", allowed="the name of a snapshot, which is no number"
    ).parse,
    summary="the snapshot's name",
)
_WITH_MEMORY = Argument(
    default=False, summary="with the memory of a VM that runs, which stands meanwhile"
)
_THOUGH_CHANGED = Argument(
    default=False, summary="even if the VM was changed since: it becomes as it was then"
)
_CHILDREN = Argument(default=False, summary="with all that were made on top of it")
_SNAPPED = frozenset({VmState.STOPPED, VmState.CRASHED, VmState.RUNNING, VmState.PAUSED})

VERBS: Mapping[Verb, VerbSpec] = MappingProxyType(
    {
        spec.verb: spec
        for spec in (
            VerbSpec(
                verb=Verb.START,
                effect=Effect.CONVERGENT,
                permission=_POWER,
                summary="start a VM that is off",
                sensible_in=frozenset({VmState.STOPPED, VmState.CRASHED}),
                arguments={"discard_saved": _DISCARD},
                timeout_s=600.0,  # what was saved is read back
            ),
            VerbSpec(
                verb=Verb.STOP,
                effect=Effect.CONVERGENT,
                permission=_POWER,
                summary="shut a VM down, and take the power away where it does not",
                sensible_in=frozenset({VmState.RUNNING, VmState.PAUSED, VmState.STOPPING}),
                arguments={"grace_s": _GRACE, "force": _FORCE},
                timeout_s=3700.0,
            ),
            VerbSpec(
                verb=Verb.REBOOT,
                effect=Effect.OPAQUE,
                permission=_POWER,
                summary="ask the guest to restart itself",
                sensible_in=frozenset({VmState.RUNNING}),
            ),
            VerbSpec(
                verb=Verb.RESET,
                effect=Effect.OPAQUE,
                permission=_POWER,
                summary="press the reset button: the guest is not asked",
                sensible_in=frozenset({VmState.RUNNING, VmState.PAUSED}),
                destructive=True,
            ),
            VerbSpec(
                verb=Verb.SUSPEND,
                effect=Effect.CONVERGENT,
                permission=_POWER,
                summary="freeze a VM; it stays in memory",
                sensible_in=frozenset({VmState.RUNNING}),
            ),
            VerbSpec(
                verb=Verb.RESUME,
                effect=Effect.CONVERGENT,
                permission=_POWER,
                summary="let a suspended VM go on",
                sensible_in=frozenset({VmState.PAUSED}),
            ),
            VerbSpec(  # detail: {"saved": true}
                verb=Verb.SAVE,
                effect=Effect.CONVERGENT,
                permission=_POWER,
                summary="keep a VM's memory on its host's disk and turn it off; start goes on",
                sensible_in=frozenset({VmState.RUNNING, VmState.PAUSED}),
                timeout_s=1800.0,
            ),
            VerbSpec(  # detail: {"vcpus": {"now", "next_start"}, "memory_mib": {…}}
                verb=Verb.RESIZE,
                effect=Effect.CONVERGENT,
                permission=Permission.VM_MANAGE,
                summary="give a VM more or fewer CPUs, more or less memory",
                sensible_in=frozenset({VmState.RUNNING, VmState.PAUSED, VmState.STOPPED}),
                arguments={"vcpus": _VCPUS, "memory_mib": _MEMORY, "live": _LIVE},
                any_of=("vcpus", "memory_mib"),
            ),
            VerbSpec(  # detail: {"name", "before"}
                verb=Verb.RENAME,
                effect=Effect.CONVERGENT,
                permission=Permission.VM_MANAGE,
                summary="give a VM that is off another name",
                sensible_in=frozenset({VmState.STOPPED, VmState.CRASHED}),
                arguments={"new_name": _NEW_NAME},
                alone=True,
            ),
            VerbSpec(  # its vm_id is chosen by who orders it; detail: {"vm_id", "name"}
                verb=Verb.CREATE,
                effect=Effect.PROBEABLE,
                permission=Permission.VM_MANAGE,
                summary="make a VM from a spec",
                sensible_in=frozenset(),
                arguments={"spec": _SPEC},
                timeout_s=3600.0,
            ),
            VerbSpec(  # detail: {"disk", "pool", "volume"}
                verb=Verb.ATTACH_DISK,
                effect=Effect.PROBEABLE,
                permission=Permission.VM_MANAGE,
                summary="give a VM one more disk",
                sensible_in=_WITH_DEVICES,
                arguments={"disk": _DISK},
                timeout_s=3600.0,
            ),
            VerbSpec(
                verb=Verb.DETACH_DISK,
                effect=Effect.CONVERGENT,
                permission=Permission.VM_MANAGE,
                summary="take a disk out of a VM",
                sensible_in=_WITH_DEVICES,
                arguments={"disk": _DISK_NAME, "delete_volume": _ITS_VOLUME, "force": _BOOT_DISK},
                timeout_s=120.0,
            ),
            VerbSpec(
                verb=Verb.GROW_DISK,
                effect=Effect.CONVERGENT,
                permission=Permission.VM_MANAGE,
                summary="make a disk of a VM larger",
                sensible_in=_WITH_DEVICES,
                arguments={"disk": _DISK_NAME, "size_gib": _SIZE_GIB},
                timeout_s=120.0,
            ),
            VerbSpec(  # detail: {"mac", "network" or "bridge"}
                verb=Verb.ATTACH_NIC,
                effect=Effect.CONVERGENT,
                permission=Permission.VM_MANAGE,
                summary="give a VM one more network card",
                sensible_in=_WITH_DEVICES,
                arguments={"nic": _NIC},
                timeout_s=120.0,
            ),
            VerbSpec(
                verb=Verb.DETACH_NIC,
                effect=Effect.CONVERGENT,
                permission=Permission.VM_MANAGE,
                summary="take a network card out of a VM",
                sensible_in=_WITH_DEVICES,
                arguments={"mac": _MAC},
                timeout_s=120.0,
            ),
            VerbSpec(  # detail: {"plan": […], "kept": […]} of {"kind", "name", "why"}; {"more": N}
                verb=Verb.DELETE,
                effect=Effect.CONVERGENT,
                permission=Permission.VM_MANAGE,
                summary="remove a VM and what was created with it",
                sensible_in=frozenset(VmState) - {VmState.UNKNOWN},
                arguments={"plan": _PLAN, "keep_volumes": _KEEP, "force": _THOUGH_IT_RUNS},
                timeout_s=600.0,
                destructive=True,
                at_stake="what was created with a VM goes with it",
            ),
            VerbSpec(  # detail: {"snapshot", "state", "memory", "created", "parent"}
                verb=Verb.SNAPSHOT,
                effect=Effect.PROBEABLE,
                permission=Permission.VM_MANAGE,
                summary="keep a VM's disks as they are now, to go back to",
                sensible_in=_SNAPPED,
                arguments={"snapshot": _NEW_SNAPSHOT, "memory": _WITH_MEMORY},
                timeout_s=3600.0,
            ),
            VerbSpec(  # detail: {"snapshot", "state"}: what the VM is in now
                verb=Verb.REVERT,
                effect=Effect.OPAQUE,  # done again it would cost what was written since
                permission=Permission.VM_MANAGE,
                summary="have a VM as it was when a snapshot was made",
                sensible_in=_SNAPPED,
                arguments={"snapshot": _SNAPSHOT, "force": _THOUGH_CHANGED},
                timeout_s=3600.0,
                destructive=True,
                at_stake="what guests have written since the snapshot is lost",
            ),
            VerbSpec(  # detail: {"gone": [name, …]}
                verb=Verb.DELETE_SNAPSHOT,
                effect=Effect.CONVERGENT,
                permission=Permission.VM_MANAGE,
                summary="remove a snapshot; the VM stays as it is",
                sensible_in=_SNAPPED,
                arguments={"snapshot": _SNAPSHOT, "children": _CHILDREN},
                timeout_s=3600.0,
                destructive=True,
                at_stake="nobody can go back to a snapshot that is deleted",
            ),
            VerbSpec(  # detail: {"snapshots": [{"name", "state", "memory", …}]}; {"more": N}
                verb=Verb.SNAPSHOTS,
                effect=Effect.CONVERGENT,
                permission=Permission.VM_MANAGE,
                summary="tell which snapshots a VM has; nothing is done",
                sensible_in=frozenset(VmState) - {VmState.UNKNOWN},
            ),
        )
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A command as an agent is given it.

    `ttl_ms`: what is left, when it is delivered, of the time within which it has to begin; a
    duration, so that clocks need not agree. `timeout_s`: from its beginning to its end. `expect`:
    states of the VM, in another one it is rejected; empty: in any.
    """

    id: str
    verb: Verb
    vm_id: str
    arguments: Mapping[str, Value] = field(default_factory=dict)
    expect: frozenset[VmState] = frozenset()
    ttl_ms: int
    timeout_s: float

    def as_json(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "verb": self.verb.value,
            "vm_id": self.vm_id,
            "arguments": dict(self.arguments),
            "expect": sorted(self.expect),
            "ttl_ms": self.ttl_ms,
            "timeout_s": self.timeout_s,
        }


def order(raw: object) -> Order:
    """
    Raises:
        BadMessage: it is no order, or not one that this release knows.
    """
    match raw:
        case {
            "id": str(command_id),
            "verb": str(verb),
            "vm_id": str(vm_id),
            "arguments": dict(arguments),
            "expect": list(expect),
            "ttl_ms": int(ttl_ms),
            "timeout_s": int() | float() as timeout_s,
        } if _UUID.fullmatch(command_id) and _UUID.fullmatch(vm_id):
            spec = VERBS[_one_of(Verb, verb, "verb")]
            return Order(
                id=command_id,
                verb=spec.verb,
                vm_id=vm_id,
                arguments=spec.parse(arguments),
                expect=frozenset(_one_of(VmState, state, "expect") for state in expect),
                ttl_ms=ttl_ms,
                timeout_s=float(timeout_s),
            )
    raise BadMessage("no order: expected id, verb, vm_id, arguments, expect, ttl_ms, timeout_s")


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What an agent says of a command. `number` counts the reports of one command from 1: the
    journal makes it, so a report that comes twice is known. `share` is of 1; None: not known.

    `detail` is free, for people and programs, such as {"changed": false}; at most MAX_DETAIL bytes
    as JSON. `error` says why it did not succeed.
    """

    command_id: str
    number: int
    state: State
    share: float | None = None
    text: str = ""
    error: str = ""
    detail: Mapping[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        return {
            "command_id": self.command_id,
            "number": self.number,
            "state": self.state.value,
            "share": self.share,
            "text": self.text[:MAX_TEXT],
            "error": self.error[:MAX_TEXT],
            "detail": dict(self.detail),
        }


_REPORTED = frozenset(State) - {State.QUEUED, State.DELIVERED}


def report(raw: object) -> Report:
    """
    Raises:
        BadMessage: it is no report.
    """
    match raw:
        case {
            "command_id": str(command_id),
            "number": int(number),
            "state": str(state),
            "share": int() | float() | None as share,
            "text": str(text),
            "error": str(error),
            "detail": dict(detail),
        } if _UUID.fullmatch(command_id) and 1 <= number < 2**31:
            said = _one_of(State, state, "state")
            if said in _REPORTED and (share is None or 0 <= share <= 1):
                return Report(
                    command_id=command_id,
                    number=number,
                    state=said,
                    share=share,
                    text=text[:MAX_TEXT],
                    error=error[:MAX_TEXT],
                    detail=detail,
                )
    raise BadMessage("no report: expected command_id, number, state, share, text, error, detail")


def _one_of(kind: type[_Choice], raw: Any, name: str) -> _Choice:
    try:
        return kind(raw)
    except ValueError as err:
        allowed = ", ".join(choice.value for choice in kind)
        raise BadMessage(f"{name}: expected one of {allowed}, got {str(raw)[:80]!r}") from err
