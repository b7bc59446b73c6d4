"""What every provider that commands VMs promises. Its test class inherits LifecycleContract."""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass, field

import pytest

from novacron_agent.finding import Level
from novacron_agent.providers.lifecycle import (
    Done,
    EffectFailed,
    Lifecycle,
    NotPossible,
    VmNotFound,
)
from novacron_contract.commands import VERBS, Effect, Order, Value, Verb
from novacron_contract.errors import NovaCronError, Unavailable
from novacron_contract.metrics import VmState
from verb_arguments import OF_VERB

UNKNOWN = "00000000-0000-4000-8000-000000000000"
AS_ORDERED = frozenset(  # as it is
    {
        Verb.START,
        Verb.RESUME,
        Verb.DETACH_DISK,
        Verb.DETACH_NIC,
        Verb.DELETE_SNAPSHOT,
        Verb.SNAPSHOTS,
    }
)
ACTIVE = frozenset({VmState.RUNNING, VmState.BLOCKED})


@dataclass(slots=True)
class Heard:
    """A progress that is written down."""

    told: list[str] = field(default_factory=list)
    witnessed: list[str] = field(default_factory=list)

    @property
    def evidence(self) -> str:
        return self.witnessed[-1] if self.witnessed else ""

    def tell(self, text: str, share: float | None = None) -> None:
        assert share is None or 0 <= share <= 1
        self.told.append(text)

    def witness(self, text: str) -> None:
        self.witnessed.append(text)


def order(verb: Verb, vm_id: str, **arguments: Value) -> Order:
    return Order(
        id=str(uuid.uuid4()),
        verb=verb,
        vm_id=vm_id,
        arguments=VERBS[verb].parse({**OF_VERB.get(verb, {}), **arguments}),
        ttl_ms=60_000,
        timeout_s=60.0,
    )


def done(lifecycle: Lifecycle, verb: Verb, vm_id: str, **arguments: Value) -> Done:
    return lifecycle.perform(order(verb, vm_id, **arguments), Heard(), time.monotonic() + 60)


def force(lifecycle: Lifecycle, vm_id: str) -> Done:
    return done(lifecycle, Verb.STOP, vm_id, force="now")


class LifecycleContract:
    """Fixtures of the inheriting class: `lifecycle`; `vm`, the id of a VM that runs, outlives its
    end, and may be stopped; `out_of_reach`, the same lifecycle where nothing answers."""

    @pytest.fixture
    def lifecycle(self) -> Lifecycle:
        raise NotImplementedError

    @pytest.fixture
    def vm(self) -> str:
        raise NotImplementedError

    @pytest.fixture
    def out_of_reach(self) -> Lifecycle:
        raise NotImplementedError

    def state(self, lifecycle: Lifecycle, vm: str) -> VmState:
        return lifecycle.find(vm, 10).state

    def test_it_says_what_it_can_do(self, lifecycle: Lifecycle) -> None:
        assert lifecycle.verbs() <= set(Verb)
        assert {Verb.START, Verb.STOP} <= lifecycle.verbs()

    def test_a_vm_is_found_with_its_name_and_state(self, lifecycle: Lifecycle, vm: str) -> None:
        found = lifecycle.find(vm, 10)

        assert found.name
        assert found.state in ACTIVE

    def test_the_start_of_a_running_vm_does_nothing(self, lifecycle: Lifecycle, vm: str) -> None:
        assert not done(lifecycle, Verb.START, vm).changed
        assert self.state(lifecycle, vm) in ACTIVE

    def test_stop_and_stop_again_then_start_and_start_again(
        self, lifecycle: Lifecycle, vm: str
    ) -> None:
        assert force(lifecycle, vm).changed
        assert self.state(lifecycle, vm) is VmState.STOPPED
        assert not force(lifecycle, vm).changed
        assert done(lifecycle, Verb.START, vm).changed
        assert self.state(lifecycle, vm) in ACTIVE
        assert not done(lifecycle, Verb.START, vm).changed

    def test_suspend_and_resume_twice_each(self, lifecycle: Lifecycle, vm: str) -> None:
        assert done(lifecycle, Verb.SUSPEND, vm).changed
        assert self.state(lifecycle, vm) is VmState.PAUSED
        assert not done(lifecycle, Verb.SUSPEND, vm).changed
        assert done(lifecycle, Verb.RESUME, vm).changed
        assert self.state(lifecycle, vm) in ACTIVE
        assert not done(lifecycle, Verb.RESUME, vm).changed

    def test_a_suspended_vm_cannot_shut_itself_down(self, lifecycle: Lifecycle, vm: str) -> None:
        done(lifecycle, Verb.SUSPEND, vm)

        with pytest.raises(NotPossible, match="paused, and cannot shut itself down: resume it"):
            done(lifecycle, Verb.STOP, vm, force="never", grace_s=1)
        assert done(lifecycle, Verb.STOP, vm, grace_s=600).changed, "nobody waits for it"
        assert self.state(lifecycle, vm) is VmState.STOPPED

    @pytest.mark.parametrize(
        "verb", [Verb.SUSPEND, Verb.RESUME, Verb.REBOOT, Verb.RESET, Verb.SAVE]
    )
    def test_a_vm_that_is_off_cannot(self, lifecycle: Lifecycle, vm: str, verb: Verb) -> None:
        if verb not in lifecycle.verbs():
            return
        force(lifecycle, vm)

        with pytest.raises(NotPossible, match=r"^the VM is stopped, and cannot ") as refused:
            done(lifecycle, verb, vm)
        assert "\n" not in str(refused.value)
        assert self.state(lifecycle, vm) is VmState.STOPPED

    def test_an_unknown_vm_is_not_found(self, lifecycle: Lifecycle) -> None:
        with pytest.raises(VmNotFound, match="no such VM"):
            lifecycle.find(UNKNOWN, 10)
        for verb in lifecycle.verbs() - {Verb.CREATE}:
            with pytest.raises(VmNotFound, match="no such VM"):
                done(lifecycle, verb, UNKNOWN)

    def test_after_its_time_nothing_is_begun(self, lifecycle: Lifecycle, vm: str) -> None:
        over = time.monotonic() - 1
        others = {Verb.CREATE, Verb.GROW_DISK, Verb.RENAME}
        for verb in lifecycle.verbs() - AS_ORDERED - others:
            with pytest.raises(EffectFailed, match="its time was over"):
                lifecycle.perform(order(verb, vm), Heard(), over)
        assert self.state(lifecycle, vm) in ACTIVE
        for verb in AS_ORDERED & lifecycle.verbs():
            assert not lifecycle.perform(order(verb, vm), Heard(), over).changed

    def test_saved_twice_and_started_it_goes_on(self, lifecycle: Lifecycle, vm: str) -> None:
        if Verb.SAVE not in lifecycle.verbs():
            return
        for changed in (True, False):
            saved = done(lifecycle, Verb.SAVE, vm)
            assert (saved.changed, saved.detail) == (changed, {"saved": True})
            assert self.state(lifecycle, vm) is VmState.STOPPED
        for verb in {Verb.RESIZE, Verb.RENAME} & lifecycle.verbs():
            with pytest.raises(NotPossible, match=r"memory is saved, .* discard_saved"):
                done(lifecycle, verb, vm)
        started = done(lifecycle, Verb.START, vm)
        assert (started.changed, started.detail["restored"]) == (True, True)
        assert self.state(lifecycle, vm) in ACTIVE

        done(lifecycle, Verb.SAVE, vm)
        afresh = done(lifecycle, Verb.START, vm, discard_saved=True)
        assert (afresh.changed, afresh.detail["restored"]) == (True, False)
        assert not done(lifecycle, Verb.START, vm, discard_saved=True).changed
        force(lifecycle, vm)
        assert "restored" not in done(lifecycle, Verb.START, vm).detail

    def test_a_vm_that_is_off_is_resized_once(self, lifecycle: Lifecycle, vm: str) -> None:
        if Verb.RESIZE not in lifecycle.verbs():
            return
        force(lifecycle, vm)
        for changed in (True, False):
            resized = done(lifecycle, Verb.RESIZE, vm, vcpus=2, memory_mib=80)
            assert resized.changed is changed
            assert resized.detail == {"vcpus": {"next_start": 2}, "memory_mib": {"next_start": 80}}
        assert done(lifecycle, Verb.START, vm).changed
        resized = done(lifecycle, Verb.RESIZE, vm, vcpus=2, memory_mib=80, live=True)
        assert not resized.changed
        assert resized.detail["vcpus"] == {"now": 2, "next_start": 2}
        with pytest.raises(NotPossible, match=r"^vcpus: this host gives such a VM \d+ CPUs"):
            done(lifecycle, Verb.RESIZE, vm, vcpus=1024)
        with pytest.raises(NotPossible, match=r"^memory_mib: this host has \d+ MiB of memory"):
            done(lifecycle, Verb.RESIZE, vm, memory_mib=2**25)

    def test_what_a_running_vm_cannot_take_waits_for_its_next_start(
        self, lifecycle: Lifecycle, vm: str
    ) -> None:
        if Verb.RESIZE not in lifecycle.verbs():
            return
        with pytest.raises(NotPossible, match=r"^vcpus: it was started with room for 1$"):
            done(lifecycle, Verb.RESIZE, vm, vcpus=2, live=True)
        for changed in (True, False):
            resized = done(lifecycle, Verb.RESIZE, vm, vcpus=2, memory_mib=96)
            assert resized.changed is changed
            assert resized.detail["vcpus"] == {"now": 1, "next_start": 2}
            assert "vcpus: 2 from its next start on: it was started with" in resized.text
            assert "memory_mib: 96 from its next start on: it was started with" in resized.text
        force(lifecycle, vm)
        done(lifecycle, Verb.START, vm)
        resized = done(lifecycle, Verb.RESIZE, vm, vcpus=2, memory_mib=96, live=True)
        assert (resized.changed, resized.text) == (False, "")

    def test_a_vm_that_is_off_is_renamed_once(self, lifecycle: Lifecycle, vm: str) -> None:
        if Verb.RENAME not in lifecycle.verbs():
            return
        before = lifecycle.find(vm, 10).name
        with pytest.raises(NotPossible, match="libvirt renames those that are off: stop it"):
            done(lifecycle, Verb.RENAME, vm)
        force(lifecycle, vm)
        with pytest.raises(EffectFailed, match="its time was over"):
            lifecycle.perform(order(Verb.RENAME, vm), Heard(), time.monotonic() - 1)
        renamed = done(lifecycle, Verb.RENAME, vm)
        assert (renamed.changed, renamed.detail) == (True, {"name": "renamed", "before": before})
        assert lifecycle.find(vm, 10).name == "renamed"
        assert not done(lifecycle, Verb.RENAME, vm).changed
        assert done(lifecycle, Verb.RENAME, vm, new_name=before).changed
        assert done(lifecycle, Verb.START, vm).changed

    def test_an_opaque_effect_that_was_seen_is_witnessed(
        self, lifecycle: Lifecycle, vm: str
    ) -> None:
        opaque = [v for v in lifecycle.verbs() if VERBS[v].effect is Effect.OPAQUE]
        for verb in set(opaque) & {Verb.RESET}:
            heard = Heard()
            assert lifecycle.perform(order(verb, vm), heard, time.monotonic() + 60).changed
            assert heard.witnessed

    def test_a_device_that_is_not_there_is_told(self, lifecycle: Lifecycle, vm: str) -> None:
        for verb, says in (
            (Verb.DETACH_DISK, "the VM has no disk 'vdz'; it has "),
            (Verb.DETACH_NIC, "the VM has no card 52:54:00:ff:ff:ff; it has "),
        ):
            if verb in lifecycle.verbs():
                gone = done(lifecycle, verb, vm)
                assert not gone.changed
                assert gone.text.startswith(says)
        if Verb.GROW_DISK in lifecycle.verbs():
            with pytest.raises(NotPossible, match="the VM has no disk 'vdz'; it has "):
                done(lifecycle, Verb.GROW_DISK, vm)

    def test_a_vm_is_made_once_and_deleted_once(self, lifecycle: Lifecycle) -> None:
        if not {Verb.CREATE, Verb.DELETE} <= lifecycle.verbs():
            return
        new = str(uuid.uuid4())
        create = order(Verb.CREATE, new)
        over = time.monotonic() - 1
        with pytest.raises(EffectFailed, match="its time was over"):
            lifecycle.perform(create, Heard(), over)
        with pytest.raises(VmNotFound):
            lifecycle.find(new, 10)

        for _ in range(2):  # as an agent does that was killed in the middle
            made = lifecycle.perform(create, Heard(), time.monotonic() + 60)
            assert (made.changed, made.detail["vm_id"]) == (True, new)
        assert lifecycle.find(new, 10).name == "contract"
        with pytest.raises(NotPossible, match="a VM of this UUID already"):
            done(lifecycle, Verb.CREATE, new)
        assert lifecycle.perform(create, Heard(), over).changed, "it is there"

        planned = done(lifecycle, Verb.DELETE, new, plan=True)
        assert not planned.changed
        assert {"kind", "name", "why"} == set(planned.detail["plan"][0])
        assert lifecycle.find(new, 10).state in ACTIVE
        with pytest.raises(NotPossible, match="the VM runs"):
            done(lifecycle, Verb.DELETE, new, force=False)
        assert done(lifecycle, Verb.DELETE, new).changed
        with pytest.raises(VmNotFound):
            lifecycle.find(new, 10)

    def test_the_check_changes_nothing(self, lifecycle: Lifecycle, vm: str) -> None:
        before = self.state(lifecycle, vm)

        assert [finding.level for finding in lifecycle.check(10)] == [Level.OK]
        assert self.state(lifecycle, vm) is before

    def test_close_lets_go_and_it_can_be_used_again(self, lifecycle: Lifecycle, vm: str) -> None:
        lifecycle.close()
        lifecycle.close()
        assert lifecycle.find(vm, 10).state in ACTIVE

    def test_what_does_not_answer_is_told_in_one_sentence(self, out_of_reach: Lifecycle) -> None:
        with pytest.raises(Unavailable) as away:
            out_of_reach.find(UNKNOWN, 5)
        assert "\n" not in str(away.value)
        for verb in out_of_reach.verbs():
            with pytest.raises(Unavailable):
                done(out_of_reach, verb, UNKNOWN)
        [finding] = out_of_reach.check(5)
        assert finding.level is Level.FAIL
        assert finding.fix

    def test_every_error_is_one_of_ours(self, lifecycle: Lifecycle) -> None:
        for verb in lifecycle.verbs():
            with pytest.raises(NovaCronError):
                done(lifecycle, verb, "no-uuid-at-all")
