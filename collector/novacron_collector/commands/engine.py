"""Everything about commands in one process: what routes call, and what goes on beside them."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, NoReturn

import orjson
from sqlalchemy import Engine

from novacron_collector.commands.creation import Creation
from novacron_collector.commands.own_labels import OwnLabels
from novacron_collector.commands.placing import Hosts, MemoryOf
from novacron_collector.commands.planning import (
    AgentsOfHosts,
    Plan,
    Planner,
    States,
    confirm,
    new_names,
)
from novacron_collector.commands.polls import Polls
from novacron_collector.commands.progress import Progress, Publish
from novacron_collector.commands.request import Request, parse
from novacron_collector.commands.scheduling import PrincipalOf, Runner
from novacron_collector.commands.settings import CommandSettings
from novacron_collector.commands.together import Together
from novacron_contract.access import Permission, Target
from novacron_contract.errors import NovaCronError, Refused
from novacron_contract.metrics import VM_NAME
from novacron_store.state import Agents, Audit, Caller, Inventory, Users
from novacron_store.state.commands import (
    Added,
    Brake,
    Brakes,
    Dispatch,
    Journals,
    Lapsing,
    Listing,
    Operation,
    Operations,
    Patience,
    Reports,
    Said,
    Schedules,
    Taken,
    new_id,
)

log = logging.getLogger(__name__)

_EVERY_S = 1.0
_FORGET_EVERY_S = 600.0
_JUMP_S = 10.0
_TAGS_ON_RECORD = 10

Require = Callable[[Caller, Permission, Target], None]
Refuse = Callable[[Caller, str, str], NoReturn]


@dataclass(frozen=True, kw_only=True)
class Around:
    """What commands need of others. `require` and `refuse` raise Refused, and put it on record."""

    agents_of_hosts: AgentsOfHosts
    states: States
    principal_of: PrincipalOf
    require: Require
    refuse: Refuse
    memory: MemoryOf = dict
    publish: Publish = lambda _: None
    followed: Callable[[], bool] = lambda: False


class Commands:
    """Routes of threads call the methods that are not async; `running` is of the event loop."""

    def __init__(
        self,
        engine: Engine,
        audit: Audit,
        settings: CommandSettings,
        around: Around,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        patience = Patience(redeliver_s=settings.redeliver, margin_s=settings.margin)
        self._settings = settings
        self._around = around
        self.now = now
        self.operations = Operations(engine, audit)
        self.listing = Listing(engine)
        self.brakes = Brakes(engine, audit)
        self.journals = Journals(engine, audit)
        self.schedules = Schedules(engine, audit)
        inventory, agents = Inventory(engine), Agents(engine)
        self._own_labels = OwnLabels(Users(engine))
        self._creation = Creation(
            Hosts(
                inventory,
                agents,
                self.journals,
                around.agents_of_hosts,
                around.memory,
                self.listing.coming,
            ),
            self._own_labels,
        )
        self._planner = Planner(
            inventory,
            agents,
            self.journals,
            around.agents_of_hosts,
            around.states,
            self.listing.coming,
        )
        self._reports = Reports(engine, audit, patience)
        self._lapsing = Lapsing(engine, audit)
        self._runner = Runner(self.schedules, self._submit_scheduled, around.principal_of, audit)
        dispatch = Dispatch(
            engine,
            audit,
            patience,
            per_host=settings.per_host,
            max_per_minute=settings.max_per_minute,
        )
        self.progress = Progress(self.listing, around.publish, around.followed)
        self.polls = Polls(dispatch, now, self.progress.touched)
        self._inbox: Together[Said, Taken] = Together(self._take)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._listening = time.monotonic()
        self._ahead = self.now().timestamp() - time.monotonic()  # the clock's, of monotonic time
        self._forgot = 0.0
        self._problem = ""

    # -- what routes call -----------------------------------------------------------------------

    def plan(self, caller: Caller, asked: Request) -> Plan:
        refuse = partial(self._around.refuse, caller)
        if asked.new is not None:
            made = self._creation.plan(asked, caller.principal, refuse, self.now())
            return Plan(made, destructive=False)

        def require(permission: Permission, target: Target) -> None:
            if not caller.principal.may(permission, target):
                self._around.require(caller, permission, target)
                raise Refused(f"{caller.principal.name} may not {permission} vm:{target.vm_id}")

        plan = self._planner.plan(asked, require, self.now())
        names = [(VM_NAME, name) for name in new_names(asked)]
        self._own_labels.require(
            names, plan.vms[0].vm.id if plan.vms else "", caller.principal, refuse
        )
        return plan

    def submit(
        self, caller: Caller, asked: Request, key: str | None, schedule_id: str = ""
    ) -> Added:
        """It is on disk when this returns.

        Raises:
            Refused, NotFound, Conflict, TooLarge, TooMany, Unavailable: nothing was ordered.
        """
        issuer = caller.principal
        known = self.operations.repeated(issuer.id, key, asked.digest)
        if known is not None:
            return Added(known, frozenset(), is_new=False)
        plan = self.plan(caller, asked)
        confirm(asked, plan, needed=not schedule_id)
        now = self.now()
        new = _operation(caller, asked, plan, key, schedule_id, now)
        entry = caller.entry(
            "operation.create",
            f"operation:{new.id}",
            verbs=[step.verb.value for step in asked.steps],
            count=len(plan.vms),
            vms=[one.vm.id for one in plan.vms[:50]],
            **_in_brief(asked),
        )
        added = self.operations.add(new, plan.places(), asked.timeout_s, entry, now, asked.secrets)
        self.changed(added.agents, (new.id,))
        return added

    def cancel(self, caller: Caller, operation_id: str) -> Operation:
        entry = caller.entry("operation.cancel", f"operation:{operation_id}")
        done = self.operations.cancel(operation_id, entry, self.now())
        self.changed(done.agents, (operation_id,))
        return done.operation

    def cancel_all_of(self, caller: Caller, issuer_id: str, reason: str) -> None:
        """What goes on of somebody's who may not any more."""
        by = replace(caller, reason=reason)
        for of in self.listing.some(self.listing.open_versions()):
            if of.issuer_id == issuer_id:
                self.cancel(by, of.id)

    async def take(self, said: Said) -> Taken:
        """The reports of an agent: they are on disk when this returns."""
        return await self._inbox.do(said)

    def changed(self, agents: Iterable[str], operations: Iterable[str]) -> None:
        """From any thread: these may have something to do, those are not what they were."""
        loop = self._loop
        if loop is not None:
            with suppress(RuntimeError):  # it stops: the database has it
                loop.call_soon_threadsafe(self._tell, frozenset(agents), frozenset(operations))

    def set_brake(self, caller: Caller, held: bool, reason: str) -> Brake:
        new = Brake(held, self.now(), caller.principal.name, reason)
        action = "commands.hold" if held else "commands.release"
        entry = replace(caller, reason=reason).entry(action, "fleet")
        self.brakes.set(new, entry)
        if not held:
            self.changed(self.polls.dispatch.wanted(self.now()), ())
        return new

    # -- what goes on beside them ---------------------------------------------------------------

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        self._loop = asyncio.get_running_loop()
        self._listening = time.monotonic()
        work = (self.polls.run(), self.progress.run(), self._look_after())
        tasks = [asyncio.create_task(one) for one in work]
        try:
            yield
        finally:
            self.close()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def close(self) -> None:
        """Send away who waits."""
        self.polls.close()
        self.progress.close()

    def _tell(self, agents: frozenset[str], operations: frozenset[str]) -> None:
        self.polls.wake(agents)
        self.progress.touched(operations)

    async def _look_after(self) -> None:
        while True:
            try:
                await asyncio.to_thread(self.look_after)
                self._problem = ""
            except NovaCronError as err:
                if str(err) != self._problem:
                    log.warning("commands are not looked after: %s", err)
                self._problem = str(err)
                self._listening = time.monotonic()  # agents were not heard meanwhile
            except Exception:  # the outermost edge of this loop: it goes on
                log.exception("commands are not looked after")
            await asyncio.sleep(_EVERY_S)

    def look_after(self) -> None:
        """Close what is over, run what is due, forget what is old."""
        now = self.now()
        self._notice_a_jump(now)
        # Agents that could not reach us have that long to come back with what they know.
        told_too = time.monotonic() - self._listening >= self._settings.margin
        lapsed = self._lapsing.lapse(now, told_too=told_too)
        self.changed(lapsed.agents, lapsed.touched)
        if time.monotonic() - self._forgot > _FORGET_EVERY_S:
            old = now - timedelta(seconds=self._settings.keep)
            if self.operations.forget(old) == 0:  # otherwise there may be more, in a second
                self._forgot = time.monotonic()
        self._runner.run_due(now)

    def _notice_a_jump(self, now: datetime) -> None:
        """The machine slept, or its clock was set: for agents that is as if we had been away."""
        ahead = now.timestamp() - time.monotonic()
        if abs(ahead - self._ahead) > _JUMP_S:
            self._listening = time.monotonic()
        self._ahead = ahead

    def _take(self, every: Sequence[Said]) -> Sequence[Taken]:
        answered = self._reports.take(every, self.now())
        self.changed(answered.agents, answered.touched)
        return answered.taken

    def _submit_scheduled(
        self, caller: Caller, body: Mapping[str, Any], key: str, schedule_id: str
    ) -> Operation:
        return self.submit(caller, parse(dict(body)), key, schedule_id).operation


def _in_brief(asked: Request) -> dict[str, Any]:
    """Of new VMs, for the audit: which spec it was without its secrets, and what stands out."""
    if asked.new is None:
        return {}
    shown = orjson.dumps(asked.steps[0].arguments["spec"], option=orjson.OPT_SORT_KEYS)
    spec = asked.new.spec
    return {
        "new": asked.targets["new"],
        "spec": {
            "sha256": hashlib.sha256(shown).hexdigest(),
            "vcpus": spec.vcpus,
            "memory_mib": spec.memory_mib,
            "disks": len(spec.disks),
            "networks": len(spec.networks),
            "owner": spec.owner,
            "tags": dict(list(spec.tags.items())[:_TAGS_ON_RECORD]),
        },
    }


def _operation(
    caller: Caller,
    asked: Request,
    plan: Plan,
    key: str | None,
    schedule_id: str,
    now: datetime,
) -> Operation:
    return Operation(
        id=new_id(now),
        issuer_id=caller.principal.id,
        issuer_name=caller.principal.name,
        token_id=caller.principal.token_id,
        source=caller.source,
        schedule_id=schedule_id,
        idempotency_key=key,
        body_hash=asked.digest,
        created=now,
        reason=asked.reason or caller.reason,
        steps=asked.steps,
        targets=asked.targets,
        expect=tuple(sorted(asked.expect)),
        ttl_s=asked.ttl_s,
        max_parallel=asked.max_parallel,
        max_per_minute=asked.max_per_minute,
        stop_after_failures=asked.stop_after_failures,
        total=len(plan.vms) * len(asked.steps),
    )
