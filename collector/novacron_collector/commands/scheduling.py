"""When schedules are due, and what is done then."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from novacron_contract.access import SYSTEM, Principal
from novacron_contract.errors import BadMessage, NovaCronError, Unavailable
from novacron_store.state import Audit, Caller, Entry, Outcome
from novacron_store.state.commands import Operation, Schedule, Schedules

log = logging.getLogger(__name__)

LATE = timedelta(hours=1)  # what was missed is done that long after it was due, once
_COUNTED = 1000  # of those that were missed

Submit = Callable[[Caller, Mapping[str, Any], str, str], Operation]
PrincipalOf = Callable[[str], Principal | None]  # by the user's id; None: disabled, or gone


def check_cron(cron: str, zone: str) -> None:
    """
    Raises:
        BadMessage: one of them is none.
    """
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as err:
        raise BadMessage(f"zone: expected one such as Europe/Berlin, got {zone[:60]!r}") from err
    if len(cron) > 200 or len(cron.split()) != 5:
        raise BadMessage("cron: expected five fields: minute hour day month weekday")
    try:
        next(CronSim(cron, datetime.now(ZoneInfo(zone))))
    except (CronSimError, StopIteration) as err:
        raise BadMessage(f"cron: {cron!r} is no time: {err or 'it never comes'}") from err


def runs(cron: str, zone: str, after: datetime) -> Iterator[datetime]:
    """The times after that one, in UTC."""
    for one in CronSim(cron, after.astimezone(ZoneInfo(zone))):
        yield one.astimezone(UTC)


def next_runs(of: Schedule, now: datetime, count: int = 5) -> list[datetime]:
    """None of one that is paused, or is over."""
    if of.paused or of.next_run is None:
        return []
    if not of.cron:
        return [of.next_run]
    return [of.next_run, *islice(runs(of.cron, of.zone, max(of.next_run, now)), count - 1)]


@dataclass(frozen=True)
class Runner:
    """`submit` asks for an operation as somebody, by an idempotency key, for a schedule."""

    schedules: Schedules
    submit: Submit
    principal_of: PrincipalOf
    audit: Audit

    def run_due(self, now: datetime) -> None:
        """Each of them, whatever becomes of the others.

        Raises:
            Unavailable: some could not be run: again, in a second.
        """
        problem: Unavailable | None = None
        for schedule in self.schedules.due(now):
            try:
                self._run(schedule, now)
            except Unavailable as err:
                problem = err
            except NovaCronError as err:
                log.error("schedule %s: %s", schedule.id, err)
            except Exception:  # one that is damaged does not hold up the others
                log.exception("schedule %s", schedule.id)
        if problem is not None:
            raise problem

    def _run(self, of: Schedule, now: datetime) -> None:
        assert of.next_run is not None
        due, missed, following = _due(of, now)
        after = replace(of, next_run=following, skipped=of.skipped + missed)
        if due is None:
            problem = f"{missed} missed: the collector was down for longer than {LATE}"
            after = replace(after, problem=problem)
            self.schedules.ran(of, after, _entry(of, SYSTEM, Outcome.EXPIRED, problem))
            return
        principal = self.principal_of(of.owner_id)
        if principal is None:
            problem = f"its owner {of.owner_name} is disabled, or gone"
            after = replace(after, problem=problem, skipped=after.skipped + 1)
            self.schedules.ran(of, after, _entry(of, SYSTEM, Outcome.DENIED, problem))
            return
        after = replace(after, last_run=now, runs=of.runs + 1, problem="")
        # The same key when this is done twice: after a crash, or by two collectors.
        key = f"schedule/{of.id}/{due.isoformat()}"
        caller = Caller(limited(principal, of), f"schedule:{of.id}", f"schedule {of.name}")
        try:
            operation = self.submit(caller, of.body, key, of.id)
        except Unavailable:
            raise
        except NovaCronError as err:
            after = replace(after, problem=str(err)[:500])
            self.schedules.ran(of, after, _entry(of, principal, Outcome.FAILED, str(err)))
        else:
            self.schedules.ran(of, replace(after, last_operation=operation.id))


def limited(principal: Principal, of: Schedule) -> Principal:
    """Its owner, with no more rights than who made it had: it may have been a token's."""
    return principal if of.limit is None else replace(principal, limit=of.grants())


def _due(of: Schedule, now: datetime) -> tuple[datetime | None, int, datetime | None]:
    """The time to run for (None: all were missed for too long), how many were missed, the next."""
    assert of.next_run is not None
    if not of.cron:
        late = now - of.next_run > LATE
        return (None, 1, None) if late else (of.next_run, 0, None)
    times = [of.next_run]
    for one in islice(runs(of.cron, of.zone, of.next_run), _COUNTED):
        if one > now:
            break
        times.append(one)
    if len(times) > _COUNTED:  # long ago and often: those of the last hour matter
        times += list(_until(of, now - LATE, now))
    following = next(runs(of.cron, of.zone, now), None)
    if now - times[-1] > LATE:
        return None, len(times), following
    return times[-1], len(times) - 1, following


def _until(of: Schedule, start: datetime, end: datetime) -> Iterator[datetime]:
    for one in runs(of.cron, of.zone, start):
        if one > end:
            return
        yield one


def _entry(of: Schedule, actor: Principal, outcome: Outcome, why: str) -> Entry:
    return Entry(
        actor=actor,
        action="schedule.run",
        target=f"schedule:{of.id}",
        outcome=outcome,
        reason=why,
        detail={"name": of.name, "owner": of.owner_name},
    )
