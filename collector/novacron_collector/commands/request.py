"""What somebody asks for, out of JSON that may be anything."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from novacron_collector.commands.members import flag, number, only, optional, short, text, whole
from novacron_contract.commands import VERBS, Force, Verb
from novacron_contract.errors import BadMessage
from novacron_contract.metrics import VmState
from novacron_contract.vm_spec import VmSpec
from novacron_store.state.commands import Step, withhold

MAX_VMS = 10_000
MAX_STEPS = 20
MAX_COMMANDS = 20_000  # VMs times steps
MAX_REASON = 500
MAX_NAME = 512
MAX_TAGS = 20
_MAX_TTL_S = 7 * 86400.0
_MAX_TIMEOUT_S = 86400.0
_AFTER_GRACE_S = 60.0  # for taking the power of a guest that hangs
_DEFAULT_TTL_S = 3600.0
MEMBERS = (
    *("verb", "arguments", "steps", "targets", "expect", "reason", "ttl", "timeout", "dry_run"),
    *("confirm", "max_parallel", "max_per_minute", "stop_after_failures"),
)
_FORM = (
    "expected JSON such as {'verb': 'stop', 'targets': {'vms': ['ID']}}; "
    f"members: {', '.join(MEMBERS)}"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Select:
    """Every VM that is as all of these say; None and empty: whatever it is."""

    host: str | None = None
    name: str | None = None  # a pattern: * ? [abc]
    tags: Mapping[str, str]
    states: frozenset[VmState]


@dataclass(frozen=True, slots=True, kw_only=True)
class NewVms:
    """VMs that are not there yet, alike but for their names. `host`: id or name; None: chosen."""

    spec: VmSpec  # the name in it is the first one's
    name: str  # for several with a place for the number: web-{n}
    names: tuple[str, ...]
    first: int
    host: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """`vms` are ids or names; None: what `select` says, or `new`. `timeout_s` None: that of each
    verb. `secrets` are what `steps` leave out of their arguments. `body` is what it was read from.
    """

    steps: tuple[Step, ...]
    vms: tuple[str, ...] | None
    select: Select | None
    expect: frozenset[VmState]
    reason: str
    ttl_s: float
    timeout_s: float | None
    dry_run: bool
    confirm: str | None
    max_parallel: int | None
    max_per_minute: int | None
    stop_after_failures: int | None
    new: NewVms | None = None
    secrets: Mapping[str, Any] = field(default_factory=dict)
    body: Mapping[str, Any]

    @property
    def targets(self) -> dict[str, Any]:
        """As the operation shows them."""
        if self.new is None:
            return dict(self.body["targets"])
        of = self.new
        return {
            "new": {"name": of.name, "count": len(of.names), "first": of.first, "host": of.host}
        }

    @property
    def is_destructive(self) -> bool:
        return any(VERBS[one.verb].is_destructive(one.arguments) for one in self.every_step)

    @property
    def every_step(self) -> list[Step]:  # with those that undo
        return [*self.steps, *(step.undo for step in self.steps if step.undo)]

    @property
    def digest(self) -> str:
        """The same for the same, however it was written, and whatever is secret in it: who has a
        backup could guess that by its hash."""
        shown, _ = withhold(self.body)
        return hashlib.sha256(orjson.dumps(shown, option=orjson.OPT_SORT_KEYS)).hexdigest()


def parse(body: Any) -> Request:
    """
    Raises:
        BadMessage: it is none.
    """
    if not isinstance(body, dict) or "targets" not in body:
        raise BadMessage(_FORM)
    only(body, MEMBERS, "")
    vms, select = _targets(body["targets"])
    steps = _steps(body)
    timeout_s = optional(body, "timeout", number, 1, _MAX_TIMEOUT_S)
    _leave_grace(steps, timeout_s)
    return Request(
        steps=steps,
        vms=vms,
        select=select,
        expect=_states("expect", body.get("expect", [])),
        confirm=_confirm(body.get("confirm")),
        **how(body),
    )


def how(body: Mapping[str, Any]) -> dict[str, Any]:
    """What is the same of all requests: their limits, and why.

    Raises:
        BadMessage: one of them is none.
    """
    return {
        "reason": text("reason", body.get("reason", ""), MAX_REASON, empty=True),
        "ttl_s": number("ttl", body.get("ttl", _DEFAULT_TTL_S), 1, _MAX_TTL_S),
        "timeout_s": optional(body, "timeout", number, 1, _MAX_TIMEOUT_S),
        "dry_run": flag("dry_run", body.get("dry_run", False)),
        "max_parallel": optional(body, "max_parallel", whole, 1, MAX_VMS),
        "max_per_minute": optional(body, "max_per_minute", whole, 1, 1_000_000),
        "stop_after_failures": optional(body, "stop_after_failures", whole, 1, MAX_VMS),
        "body": body,
    }


def _leave_grace(steps: Iterable[Step], timeout_s: float | None) -> None:
    """A timeout is no way to take a guest's power early.

    Raises:
        BadMessage: it ends before a guest had its grace.
    """
    for one in [of for step in steps for of in (step, step.undo) if of is not None]:
        grace_s = float(one.arguments.get("grace_s", 0.0))
        if one.arguments.get("force") == Force.AFTER_GRACE and timeout_s is not None:
            least = grace_s + _AFTER_GRACE_S
            if timeout_s < least:
                raise BadMessage(
                    f"timeout: a guest has {grace_s:g} s to shut down before its power is taken: "
                    f"give at least {least:g} s, or a shorter grace_s"
                )


def _steps(body: Mapping[str, Any]) -> tuple[Step, ...]:
    if ("steps" in body) == ("verb" in body):
        raise BadMessage(f"either verb or steps: {_FORM}")
    if "verb" in body:
        return (_step({key: body[key] for key in ("verb", "arguments") if key in body}, ""),)
    steps = body["steps"]
    if "arguments" in body:
        raise BadMessage("arguments: with steps each has its own")
    if not isinstance(steps, list) or not 1 <= len(steps) <= MAX_STEPS:
        raise BadMessage(f"steps: expected a list of 1 to {MAX_STEPS}")
    return tuple(_step(one, f"steps: {place}: ") for place, one in enumerate(steps, 1))


def _step(raw: Any, where: str, *, may_undo: bool = True) -> Step:
    if not isinstance(raw, dict):
        raise BadMessage(f"{where}expected an object with a verb")
    only(raw, ("verb", "arguments", *(("undo",) if may_undo else ())), where)
    verb = raw.get("verb")
    if verb not in tuple(Verb):
        allowed = ", ".join(one for one in Verb if one is not Verb.CREATE)
        raise BadMessage(f"{where}verb: expected one of {allowed}, got {short(verb)}")
    spec = VERBS[Verb(verb)]
    if spec.verb is Verb.CREATE:
        raise BadMessage(f"{where}verb: VMs are created by POST /v1/vms")
    try:
        arguments = spec.parse(raw.get("arguments", {}))
    except BadMessage as err:
        raise BadMessage(f"{where}{err}") from err
    undo = raw.get("undo")
    way_back = None if undo is None else _step(undo, f"{where}undo: ", may_undo=False)
    return Step(verb=spec.verb, arguments=arguments, undo=way_back)


def _targets(raw: Any) -> tuple[tuple[str, ...] | None, Select | None]:
    match raw:
        case {"vms": list(vms), **rest} if not rest:
            return _vms(vms), None
        case {"select": dict(select), **rest} if not rest:
            return None, _select(select)
    raise BadMessage(
        "targets: expected {'vms': ['ID or name', …]} or "
        "{'select': {'host': …, 'name': …, 'tags': {…}, 'state': […]}}"
    )


def _vms(raw: list[Any]) -> tuple[str, ...]:
    if not 1 <= len(raw) <= MAX_VMS:
        raise BadMessage(f"targets: vms: expected 1 to {MAX_VMS} of them, got {len(raw)}")
    return tuple(dict.fromkeys(text("targets: vms", one, MAX_NAME) for one in raw))


def _select(raw: dict[str, Any]) -> Select:
    """Empty is refused: all VMs are asked for by {"name": "*"}, not by a slip."""
    only(raw, ("host", "name", "tags", "state"), "targets: select: ")
    if not raw:
        raise BadMessage('targets: select: empty; every VM there is: {"name": "*"}')
    tags = raw.get("tags", {})
    if not isinstance(tags, dict) or len(tags) > MAX_TAGS:
        raise BadMessage(f"targets: select: tags: expected an object of {MAX_TAGS} or fewer")
    where = "targets: select"
    return Select(
        host=text(f"{where}: host", raw["host"], MAX_NAME) if "host" in raw else None,
        name=text(f"{where}: name", raw["name"], MAX_NAME) if "name" in raw else None,
        tags={
            text(f"{where}: tags", key, MAX_NAME): text(f"{where}: tags", of, MAX_NAME)
            for key, of in tags.items()
        },
        states=_states(f"{where}: state", raw.get("state", [])),
    )


def _states(name: str, raw: Any) -> frozenset[VmState]:
    raw = [raw] if isinstance(raw, str) else raw
    if not isinstance(raw, list) or not all(one in tuple(VmState) for one in raw[:20]):
        raise BadMessage(f"{name}: expected a list of {', '.join(VmState)}")
    if len(raw) > len(VmState):
        raise BadMessage(f"{name}: {len(raw)} states, and there are {len(VmState)}")
    return frozenset(VmState(one) for one in raw)


def _confirm(raw: Any) -> str | None:
    """A name, or a number as people or programs write it."""
    if raw is None:
        return None
    if isinstance(raw, int) and not isinstance(raw, bool):
        return str(raw)
    return text("confirm", raw, MAX_NAME)
