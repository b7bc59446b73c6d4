"""One command from its checks to its end."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from novacron_agent.commands.clock import Clock
from novacron_agent.commands.entry import Entry, Outcome
from novacron_agent.commands.journal import Journal
from novacron_agent.commands.progress import JournalledProgress
from novacron_agent.commands.replay import EXPIRED, seconds_since
from novacron_agent.commands.settings import CommandsTable
from novacron_agent.providers.lifecycle import (
    Done,
    EffectFailed,
    EffectUnknown,
    Elsewhere,
    FoundVm,
    Lifecycle,
    NotPossible,
    VmNotFound,
)
from novacron_contract.commands import Effect, Order, State, Verb
from novacron_contract.errors import NotFound, NovaCronError, Refused, Unavailable
from novacron_contract.metrics import VmState

log = logging.getLogger(__name__)

_FIND_S = 10.0  # for an answer of where the VM is
_AWAY_S = 10.0  # so long a hypervisor that does not answer is asked again: it may be restarted
_UNKNOWN_S = 60.0  # so long it is looked again at what a convergent command became of
_AGAIN_S = 0.5
_OF_DEVICES = (Verb.DETACH_DISK, Verb.GROW_DISK, Verb.ATTACH_NIC, Verb.DETACH_NIC)


@dataclass(frozen=True, slots=True)
class Work:
    """`pause` waits so many seconds; False: the agent ends, and what is not at its end is left to
    the next start."""

    journal: Journal
    clock: Clock
    table: CommandsTable
    lifecycle: Lifecycle | None
    news: Callable[[], None]
    pause: Callable[[float], bool]

    def carry_out(self, entry: Entry) -> Outcome | None:
        """None: it is not at its end, or another has seen to it."""
        lifecycle = self.lifecycle
        if lifecycle is None:
            return _rejected("this agent has no provider that can command VMs: see [provider]")
        if not entry.again:
            refusal = self._refusal(entry, lifecycle)
            if refusal is not None:
                return refusal
            begun = self._begun(entry)
            if begun is not True:
                return begun or None
            self.news()
        return self._performed(entry, lifecycle)

    # -- before it begins ------------------------------------------------------------------------

    def _refusal(self, entry: Entry, lifecycle: Lifecycle) -> Outcome | None:
        verb = entry.order.verb
        if self._is_over(entry):
            return Outcome(state=State.EXPIRED, error=EXPIRED)
        if verb not in lifecycle.verbs():
            return _rejected(f"the hypervisor of this VM knows no {verb}")
        if self.table.enabled is False or not self.table.allows_verb(verb):
            return _rejected(f"[commands] in this host's agent.toml does not allow {verb}")
        found = self._found(entry, lifecycle)
        if isinstance(found, Outcome):
            return found
        return self._refusal_of(found, entry)

    def _refusal_of(self, found: FoundVm, entry: Entry) -> Outcome | None:
        if not self.table.allows_vm(entry.order.vm_id, found.name):
            return _rejected("[commands] vms in this host's agent.toml does not name this VM")
        if entry.order.verb is Verb.RENAME:
            name = str(entry.order.arguments["new_name"])
            if not self.table.allows_vm(entry.order.vm_id, name):
                return _rejected("[commands] vms in this host's agent.toml allows no such name")
        if entry.order.expect and found.state not in entry.order.expect:
            expected = " or ".join(sorted(entry.order.expect))
            return _rejected(f"the VM is {found.state}, and was expected to be {expected}")
        if self._is_over(entry):
            return Outcome(state=State.EXPIRED, error=EXPIRED)
        return None

    def _found(self, entry: Entry, lifecycle: Lifecycle) -> FoundVm | Outcome:
        until = time.monotonic() + _AWAY_S
        while True:
            try:
                return lifecycle.find(entry.order.vm_id, _FIND_S)
            except VmNotFound as err:
                return _without_vm(entry.order) or _rejected(str(err))
            except (NotFound, Refused) as err:
                return _rejected(str(err))
            except (Unavailable, Elsewhere) as err:  # or it is being started
                if time.monotonic() > until or self._is_over(entry) or not self.pause(_AGAIN_S):
                    return _rejected(str(err))

    def _begun(self, entry: Entry) -> bool | Outcome:
        """Marked as begun. A disk that takes nothing is asked again until the time is over:
        no effect begins that is not journalled."""
        while True:
            try:
                return self.journal.begin(entry.id)
            except Unavailable as err:
                log.error("%s: not begun: %s", entry.id, err)
                if self._is_over(entry):
                    return Outcome(state=State.EXPIRED, error=f"{EXPIRED}: {err}")
                if not self.pause(_AGAIN_S):
                    return False

    def _is_over(self, entry: Entry) -> bool:
        return self.clock.since_boot() >= entry.expires

    # -- the effect ------------------------------------------------------------------------------

    def _performed(self, entry: Entry, lifecycle: Lifecycle) -> Outcome | None:
        passed = seconds_since(entry, self.clock) if entry.again else 0.0
        deadline = time.monotonic() + max(0.0, entry.order.timeout_s - passed)
        progress = JournalledProgress(self.journal, entry.id, self.news, entry.evidence)
        try:
            return self._until_known(entry, lifecycle, progress, deadline)
        finally:
            progress.close()

    def _until_known(
        self, entry: Entry, lifecycle: Lifecycle, progress: JournalledProgress, deadline: float
    ) -> Outcome | None:
        """A convergent effect that nobody knows of is looked at again: it is done once at most."""
        since: dict[bool | None, float] = {}  # the first failure of a kind
        asked_before = entry.again
        while True:
            try:
                done = lifecycle.perform(entry.order, progress, deadline)
                return _succeeded(done, asked_before=asked_before)
            except (EffectUnknown, Unavailable) as err:
                surely_not = isinstance(err, Unavailable)
                asked_before |= not surely_not
                if entry.effect is Effect.OPAQUE and not surely_not:
                    return _unknown(str(err), progress.evidence)
                until = since.setdefault(surely_not, time.monotonic()) + (
                    _AWAY_S if surely_not else _UNKNOWN_S
                )
                if time.monotonic() > min(deadline, until):
                    if asked_before:  # it may happen yet
                        return _unknown(str(err))
                    return Outcome(state=State.FAILED, error=str(err))
            except NovaCronError as err:
                # One that is being started, as was asked before, looks as if it moved
                may_start = asked_before and isinstance(err, Elsewhere)
                patience = _UNKNOWN_S if entry.order.verb is Verb.START else _AWAY_S
                until = since.setdefault(None, time.monotonic()) + patience
                if not may_start or time.monotonic() >= min(deadline, until):
                    return _ended(entry, err, asked_before=asked_before)
            except Exception as err:
                log.exception("%s: %s failed", entry.id, entry.order.verb)
                return _broken(entry, err, progress.evidence)
            if not self.pause(_AGAIN_S):
                return None


def _without_vm(order: Order) -> FoundVm | None:
    """A VM that is to be made, or which may have left something. None: the verb needs it."""
    if order.verb is Verb.CREATE:
        spec = order.arguments["spec"]
        assert isinstance(spec, Mapping)
        return FoundVm(str(spec["name"]), VmState.UNKNOWN)
    return FoundVm("", VmState.UNKNOWN) if order.verb is Verb.DELETE else None


def _rejected(error: str) -> Outcome:
    return Outcome(state=State.REJECTED, error=error)


def _succeeded(done: Done, *, asked_before: bool) -> Outcome:
    """What is as ordered when it is looked at again was so before, or this command has made it so:
    `changed` is None then."""
    is_open = asked_before and not done.changed
    detail = {"changed": None if is_open else done.changed, **done.detail}
    return Outcome(state=State.SUCCEEDED, text=done.text, detail=detail)


def _unknown(error: str, evidence: str = "") -> Outcome:
    """`evidence`: of an opaque effect, whose end that is."""
    if evidence:
        return Outcome(state=State.SUCCEEDED, text=evidence, detail={"evidence": evidence})
    return Outcome(state=State.OUTCOME_UNKNOWN, error=error)


def _broken(entry: Entry, err: Exception, evidence: str) -> Outcome:
    if entry.effect is Effect.OPAQUE:
        return _unknown(repr(err), evidence)
    return Outcome(state=State.FAILED, error=repr(err))


def _ended(entry: Entry, err: NovaCronError, *, asked_before: bool) -> Outcome:
    """Of what the hypervisor may have been asked before nobody can say that nothing was done; and
    of a VM that is not here any more, not what became of it."""
    if asked_before and isinstance(err, VmNotFound | Elsewhere) and entry.order.verb is Verb.STOP:
        error = f"{err}: it is gone with its end, was removed, or has moved to another"
        return Outcome(state=State.OUTCOME_UNKNOWN, error=error)
    if asked_before and isinstance(err, VmNotFound | Elsewhere) and entry.order.verb in _OF_DEVICES:
        error = f"{err}: it may have been done before that"
        return Outcome(state=State.OUTCOME_UNKNOWN, error=error)
    if asked_before and isinstance(err, Elsewhere) and entry.order.verb is Verb.START:
        return Outcome(state=State.OUTCOME_UNKNOWN, error=f"{err}; or it is still being started")
    if asked_before and isinstance(err, VmNotFound) and entry.order.verb is Verb.DELETE:
        return Outcome(state=State.SUCCEEDED, text="it is gone", detail={"changed": None})
    refused = isinstance(err, VmNotFound | NotPossible | Refused) and not asked_before
    if not refused and not isinstance(err, EffectFailed):
        log.warning("%s: %s: %s", entry.id, entry.order.verb, err)
    return Outcome(state=State.REJECTED if refused else State.FAILED, error=str(err))
