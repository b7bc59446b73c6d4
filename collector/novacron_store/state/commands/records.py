"""Rows of the tables of commands as values."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import RowMapping

from novacron_contract.commands import Order, State, Verb
from novacron_contract.metrics import VmState

IN_FLIGHT = (State.DELIVERED, State.ACCEPTED, State.RUNNING)


class Stage(StrEnum):
    """Of an operation."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"  # some VM's commands did not all succeed
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    verb: Verb
    arguments: dict[str, Any]
    undo: Step | None = None

    def as_json(self) -> dict[str, Any]:
        undo = self.undo.as_json() if self.undo else None
        return {"verb": self.verb.value, "arguments": dict(self.arguments), "undo": undo}


def step(raw: dict[str, Any]) -> Step:
    undo = step(raw["undo"]) if raw.get("undo") else None
    return Step(verb=Verb(raw["verb"]), arguments=raw["arguments"], undo=undo)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A VM of an operation, and whose agent is to act. `own`: arguments of the first step that are
    this VM's alone."""

    vm_id: str
    vm_name: str
    host_id: str
    identity_id: str
    own: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """What somebody asked for: steps over VMs. `version` grows with every change of it or of one
    of its commands."""

    id: str
    issuer_id: str
    issuer_name: str
    token_id: str = ""
    source: str = ""
    schedule_id: str = ""
    idempotency_key: str | None = None
    body_hash: str = ""
    created: datetime
    finished: datetime | None = None
    state: Stage = Stage.RUNNING
    version: int = 1
    reason: str = ""
    steps: tuple[Step, ...]
    targets: dict[str, Any]
    expect: tuple[str, ...] = ()
    ttl_s: float
    max_parallel: int | None = None
    max_per_minute: int | None = None
    stop_after_failures: int | None = None
    stopping: bool = False
    problem: str = ""
    total: int
    ended: int = 0
    succeeded: int = 0
    failures: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One step for one VM."""

    id: str
    operation_id: str
    place: int
    step: int = 0
    undoes: bool = False
    vm_id: str
    vm_name: str
    host_id: str
    identity_id: str
    verb: Verb
    arguments: dict[str, Any] = field(default_factory=dict)
    expect: tuple[str, ...] = ()
    ttl_s: float
    timeout_s: float
    created: datetime
    state: State = State.QUEUED
    version: int = 1
    ready: bool = False
    turn: datetime | None = None
    expires: datetime | None = None
    deadline: datetime | None = None
    delivered: datetime | None = None
    begun: datetime | None = None
    ended: datetime | None = None
    instance: str = ""
    deliveries: int = 0
    reported: int = 0
    share: float | None = None
    text: str = ""
    error: str = ""
    detail: dict[str, Any] = field(default_factory=dict)
    late: str = ""
    cancelling: bool = False
    alarmed: bool = False

    def order(self, now: datetime) -> Order:
        """As it is delivered now. One that is to be cancelled has no time left: where the agent
        was never told of it, it only learns that it is over."""
        left = timedelta() if self.cancelling or self.expires is None else self.expires - now
        return Order(
            id=self.id,
            verb=self.verb,
            vm_id=self.vm_id,
            arguments=self.arguments,
            expect=frozenset(VmState(state) for state in self.expect),
            ttl_ms=max(int(left.total_seconds() * 1000), 0),
            timeout_s=self.timeout_s,
        )


MUTABLE = (
    *("state", "version", "ready", "turn", "expires", "deadline", "delivered", "begun", "ended"),
    *("instance", "deliveries", "reported", "share", "text", "error", "detail", "late"),
    *("cancelling", "alarmed"),
)
_COMMAND = tuple(column.name for column in fields(Command))
_OPERATION = tuple(column.name for column in fields(Operation))
_FLAGS = frozenset({"undoes", "ready", "cancelling", "alarmed", "stopping"})


def command(row: RowMapping) -> Command:
    values = dict(row)
    values["verb"], values["state"] = Verb(values["verb"]), State(values["state"])
    values["expect"] = tuple(values["expect"])
    return Command(**_flagged(values))


def command_row(of: Command, names: tuple[str, ...] = _COMMAND) -> dict[str, Any]:
    return {name: _plain(name, getattr(of, name)) for name in names}


def operation(row: RowMapping) -> Operation:
    values = dict(row)
    values["state"] = Stage(values["state"])
    values["steps"] = tuple(step(raw) for raw in values["steps"])
    values["expect"] = tuple(values["expect"])
    return Operation(**_flagged(values))


def operation_row(of: Operation) -> dict[str, Any]:
    row = {name: _plain(name, getattr(of, name)) for name in _OPERATION}
    return row | {"steps": [one.as_json() for one in of.steps]}


def _flagged(values: dict[str, Any]) -> dict[str, Any]:
    return {name: bool(of) if name in _FLAGS else of for name, of in values.items()}


def _plain(name: str, value: Any) -> Any:
    if name in _FLAGS:
        return int(value)
    if isinstance(value, StrEnum):
        return value.value
    return list(value) if isinstance(value, tuple) else value
