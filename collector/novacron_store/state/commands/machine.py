"""The life of a command as functions: a record, and what happened, to the record that follows.

Nothing here reads a clock or a database. A final state is final: no function leaves it.

Who decides that it is over:

- *Queued* is the server's own: it expires, or is cancelled, at once. Nobody was told.
- *Delivered*: the answer that told may be lost, or the reports of it may be. Only the agent knows.
  It is told again with the time that is left, in the end none: an agent that does not know it
  learns that it is over and reports `expired`; one that does has reports, which it repeats until
  they are taken. An agent cannot begin later than its time allows, and it gives up `timeout_s`
  after it began: when that and a margin are over as well, and it has said nothing, nobody waits.
- *Accepted, running*: the same, since it is in the journal of an agent that may come back.
- What nobody waits for any longer becomes `outcome_unknown`, also a convergent one: it may have
  had its effect, and done again after somebody changed the VM it would have a second one.
  To order it anew is a person's decision.
- An agent that lost its journal cannot know. What was delivered to the old one becomes
  `outcome_unknown` at once, for the same reason whatever its class.
- A report after that changes no state: final is final, somebody may have acted upon it. It is kept
  as `late`, and shown beside it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from novacron_contract.commands import Report, State
from novacron_store.state.commands.records import IN_FLIGHT, Command

_ORDER = (State.QUEUED, State.DELIVERED, State.ACCEPTED, State.RUNNING)
_UNTOLD = "the agent said nothing of its end in time"
_UNFIT = "what it needs was secret, and is not there any more: nothing was done"
_LOST = "the agent lost its journal, and cannot tell what became of it"


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """`redeliver_s`: until an agent that did not accept is told again. `margin_s`: how long its
    reports may be late before nobody waits for them."""

    redeliver_s: float = 10.0
    margin_s: float = 600.0


class Meaning(StrEnum):
    """What a report was."""

    NEWS = "news"
    KNOWN = "known"  # it came before, or after what it leads to
    LATE = "late"  # the true end of one whose outcome was unknown
    CONTRADICTION = "contradiction"  # another end than the record's


def make_ready(of: Command, now: datetime) -> Command:
    """The steps before it are done; its time counts from now."""
    expires = now + timedelta(seconds=of.ttl_s)
    return _next(of, ready=True, turn=now, expires=expires, deadline=expires)


def deliver(of: Command, instance: str, now: datetime, patience: Patience) -> Command:
    """Told to an agent, for the first time or again."""
    assert of.state in (State.QUEUED, State.DELIVERED)
    assert of.expires is not None
    end = of.expires + timedelta(seconds=of.timeout_s + patience.margin_s)
    return _next(
        of,
        state=State.DELIVERED,
        instance=instance,
        delivered=of.delivered or now,
        deliveries=of.deliveries + 1,
        turn=now + timedelta(seconds=patience.redeliver_s),
        deadline=end,
    )


def cancel(of: Command, now: datetime) -> Command:
    """At once where nobody was told; otherwise the agent is asked to, while it has not begun."""
    if of.state is State.QUEUED:
        return _end(of, State.CANCELLED, now, "")
    if of.state in (State.DELIVERED, State.ACCEPTED) and not of.cancelling:
        return _next(of, cancelling=True, turn=now)
    return of


def told_to_cancel(of: Command, now: datetime, patience: Patience) -> Command:
    return _next(of, turn=now + timedelta(seconds=patience.redeliver_s))


def lapse(of: Command, now: datetime) -> Command:
    """Its deadline is over."""
    if of.state is State.QUEUED:
        return _end(of, State.EXPIRED, now, "its time was over before it could be delivered")
    return _end(of, State.OUTCOME_UNKNOWN, now, _UNTOLD) if of.state in IN_FLIGHT else of


def unfit(of: Command, now: datetime) -> Command:
    """What it needs was kept apart, and is not there any more."""
    return _end(of, State.REJECTED, now, _UNFIT)


def lose(of: Command, now: datetime) -> Command:
    """The journal that it was delivered to is gone."""
    return _end(of, State.OUTCOME_UNKNOWN, now, _LOST) if of.state in IN_FLIGHT else of


def alarm(of: Command) -> Command:
    """Its agent contradicts the record; that is told once."""
    return _next(of, alarmed=True)


def take(of: Command, report: Report, now: datetime, patience: Patience) -> tuple[Meaning, Command]:
    if of.state.is_final:
        return _after_the_end(of, report)
    if report.number <= of.reported:
        return Meaning.KNOWN, of
    if report.state.is_final:
        ended = _end(of, report.state, now, report.error)
        return Meaning.NEWS, replace(
            ended,
            reported=report.number,
            text=report.text,
            detail=dict(report.detail),
            share=1.0 if report.state is State.SUCCEEDED else of.share,
        )
    if _ORDER.index(report.state) < _ORDER.index(of.state):
        return Meaning.KNOWN, of
    return Meaning.NEWS, _progress(of, report, now, patience)


def _progress(of: Command, report: Report, now: datetime, patience: Patience) -> Command:
    begins = report.state is State.RUNNING and of.state is not State.RUNNING
    end = now + timedelta(seconds=of.timeout_s + patience.margin_s)
    cancels = of.cancelling and report.state is not State.RUNNING
    return _next(
        of,
        state=report.state,
        reported=report.number,
        share=report.share if report.share is not None else of.share,
        text=report.text or of.text,
        begun=now if begins else of.begun,
        delivered=of.delivered or now,  # a record older than the journal: restored from a backup
        deadline=end if begins else _later(of.deadline, now, of, patience),
        turn=of.turn if cancels else None,
    )


def _later(
    deadline: datetime | None, now: datetime, of: Command, patience: Patience
) -> datetime | None:
    if of.state is not State.QUEUED:
        return deadline
    return now + timedelta(seconds=of.ttl_s + of.timeout_s + patience.margin_s)


def _after_the_end(of: Command, report: Report) -> tuple[Meaning, Command]:
    if not report.state.is_final or report.state is of.state:
        return Meaning.KNOWN, of
    if of.state is State.OUTCOME_UNKNOWN and not of.late and of.reported < report.number:
        late = replace(of, late=report.state.value, reported=report.number, error=report.error)
        return Meaning.LATE, _next(late)
    if of.late == report.state or of.alarmed:
        return Meaning.KNOWN, of
    return Meaning.CONTRADICTION, alarm(of)


def _end(of: Command, state: State, now: datetime, error: str) -> Command:
    return _next(of, state=state, ended=now, error=error, turn=None, ready=False)


def _next(of: Command, **changes: object) -> Command:
    return replace(of, version=of.version + 1, **changes)  # type: ignore[arg-type]
