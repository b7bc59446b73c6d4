"""What becomes, at the agent's start, of the commands that were not at their end."""

from __future__ import annotations

from dataclasses import replace

from novacron_agent.commands.clock import Clock
from novacron_agent.commands.entry import Entry, Outcome
from novacron_contract.commands import Effect, State

_ANOTHER_BOOT = "the machine was started anew before it began"
EXPIRED = "its time was over before it began"


def replayed(entry: Entry, clock: Clock) -> Entry | Outcome:
    """The command as it goes on, or its end."""
    return _begun(entry) if entry.state is State.RUNNING else _not_begun(entry, clock)


def seconds_since(entry: Entry, clock: Clock) -> float:
    """Since it began. After another boot by the wall clock; one that was set back tells nothing."""
    if entry.began is None or entry.began_wall is None:
        return 0.0
    if entry.boot_id == clock.boot_id:
        return clock.since_boot() - entry.began
    passed = clock.wall() - entry.began_wall
    return passed if passed >= 0 else float("inf")


def _begun(entry: Entry) -> Entry | Outcome:
    if entry.effect is not Effect.OPAQUE:
        return replace(entry, again=True)
    if entry.evidence:
        return Outcome(
            state=State.SUCCEEDED, text=entry.evidence, detail={"evidence": entry.evidence}
        )
    why = "the agent ended while it was carried out, and nothing tells whether it was"
    return Outcome(state=State.OUTCOME_UNKNOWN, error=why)


def _not_begun(entry: Entry, clock: Clock) -> Entry | Outcome:
    if entry.boot_id == clock.boot_id:
        over = clock.since_boot() >= entry.expires
        return Outcome(state=State.EXPIRED, error=EXPIRED) if over else entry
    if entry.effect is Effect.OPAQUE:
        return Outcome(state=State.EXPIRED, error=_ANOTHER_BOOT)
    left = _left_after_boot(entry, clock)
    if left <= 0:
        return Outcome(state=State.EXPIRED, error=EXPIRED)
    return replace(entry, boot_id=clock.boot_id, expires=clock.since_boot() + left)


def _left_after_boot(entry: Entry, clock: Clock) -> float:
    """Only the wall clock went on: one that was set back gives no time."""
    passed = clock.wall() - entry.received_wall
    return entry.order.ttl_ms / 1000 - passed if passed >= 0 else 0.0
