"""What comes after a step of an operation of several, for one VM: the next one, or the way back.

A step that does not succeed ends the VM's part: the later ones are cancelled, and those that had
succeeded are undone in reverse order where they say how. An undoing that fails ends the way back:
what came before it can rely on nothing. The step that failed is not undone, nor one whose outcome
is unknown.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from novacron_contract.commands import VERBS, State
from novacron_store.state.commands.identifiers import new_id
from novacron_store.state.commands.machine import cancel, make_ready
from novacron_store.state.commands.records import IN_FLIGHT, Command, Operation

Moves = list[tuple[Command, Command]]


def advance(
    operation: Operation, of_vm: Sequence[Command], now: datetime
) -> tuple[Moves, list[Command]]:
    """The changes of a VM's commands, and those that are new."""
    if any(command.state in IN_FLIGHT or command.ready for command in of_vm):
        return [], []
    forward = sorted((one for one in of_vm if not one.undoes), key=lambda one: one.place)
    back = sorted((one for one in of_vm if one.undoes), key=lambda one: one.place)
    if back:
        return _onward(back, now), []
    if all(one.state in (State.SUCCEEDED, State.QUEUED) for one in forward):
        return _onward(forward, now), []
    rest = [(one, cancel(one, now)) for one in forward if one.state is State.QUEUED]
    return rest, _undoing(operation, forward, now)


def _onward(line: Sequence[Command], now: datetime) -> Moves:
    waiting = [one for one in line if one.state is State.QUEUED]
    if not waiting:
        return []
    if all(one.state in (State.SUCCEEDED, State.QUEUED) for one in line):
        return [(waiting[0], make_ready(waiting[0], now))]
    return [(one, cancel(one, now)) for one in waiting]


def _undoing(operation: Operation, forward: Sequence[Command], now: datetime) -> list[Command]:
    commands: list[Command] = []
    for done in reversed(forward):
        undo = operation.steps[done.step].undo
        if done.state is not State.SUCCEEDED or undo is None:
            continue
        new = Command(
            id=new_id(now),
            operation_id=operation.id,
            place=len(operation.steps) + len(commands),
            step=done.step,
            undoes=True,
            vm_id=done.vm_id,
            vm_name=done.vm_name,
            host_id=done.host_id,
            identity_id=done.identity_id,
            verb=undo.verb,
            arguments=undo.arguments,
            ttl_s=operation.ttl_s,
            timeout_s=VERBS[undo.verb].timeout_s,
            created=now,
        )
        commands.append(new if commands else make_ready(new, now))
    return commands
