"""Who is put on record where no person asked: an agent that reports, or NovaCron itself."""

from __future__ import annotations

from novacron_contract.access import SYSTEM, Principal, PrincipalKind
from novacron_store.state.audit import Entry, Outcome
from novacron_store.state.commands.records import Command
from novacron_store.state.commands.stopping import Cancelled


def agent(identity_id: str) -> Principal:
    return Principal(PrincipalKind.SYSTEM, identity_id, f"agent {identity_id}", ())


def end_of(of: Command, by: Principal | None) -> Entry:
    """`by` None: NovaCron decided that."""
    return Entry(
        actor=by or SYSTEM,
        action=f"command.{of.state}",
        target=f"vm:{of.vm_id}",
        outcome=Outcome(of.state.value),
        reason=of.error,
        detail={
            "command": of.id,
            "operation": of.operation_id,
            "verb": of.verb.value,
            "vm": of.vm_name,
        },
    )


def ends_of(operation_id: str, done: Cancelled) -> list[Entry]:
    """Of each by itself, or of thousands in one row: a chain holds up every other writer."""
    if done.few or not done.number:
        return [end_of(one, None) for one in done.few]
    return [
        Entry(
            actor=SYSTEM,
            action="command.cancelled",
            target=f"operation:{operation_id}",
            outcome=Outcome.CANCELLED,
            detail={"operation": operation_id, "count": done.number},
        )
    ]
