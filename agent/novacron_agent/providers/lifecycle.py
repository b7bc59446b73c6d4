"""What a provider that can command its VMs promises. Not every one can."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from novacron_agent.finding import Finding
from novacron_contract.commands import Order, Verb
from novacron_contract.errors import Conflict, NotFound, NovaCronError
from novacron_contract.metrics import VmState


class VmNotFound(NotFound):
    """There is no such VM here."""


class NotPossible(Conflict):
    """The VM is in a state in which this cannot be done; nothing was done."""


class Elsewhere(NotPossible):
    """The VM moves to another host, or has moved."""


class EffectFailed(NovaCronError):
    """The hypervisor tried, and says that it did not succeed; or the time was over."""


class EffectUnknown(NovaCronError):
    """The hypervisor was asked, and nobody knows what became of it."""


@dataclass(frozen=True, slots=True)
class FoundVm:
    name: str
    state: VmState


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """`changed`: whether anything had to be done. `text` and `detail` are for people, programs."""

    changed: bool
    text: str = ""
    detail: Mapping[str, Any] = field(default_factory=dict)


class Progress(Protocol):
    """Where a provider tells how it goes; may be called often, and from any thread."""

    @property
    def evidence(self) -> str:
        """What was witnessed last of this command, also by an agent that was killed since."""

    def tell(self, text: str, share: float | None = None) -> None:
        """For who watches. `share` is of 1, None where nobody knows."""

    def witness(self, text: str) -> None:
        """The effect itself was seen: it is on disk when this returns, so that an agent which is
        killed now need not call the outcome unknown."""


class Lifecycle(Protocol):
    """Called from several threads at once, for different VMs. A VM or a hypervisor that hangs holds
    up no other: each call ends soon after its time is over, with EffectUnknown or EffectFailed."""

    def verbs(self) -> frozenset[Verb]:
        """What can be ordered here. Asks nobody."""

    def find(self, vm_id: str, patience_s: float) -> FoundVm:
        """
        Raises:
            VmNotFound: there is none of this id.
            Unavailable: the hypervisor does not answer, or not within so long.
            Refused: it does not let this user in.
        """

    def perform(self, order: Order, progress: Progress, deadline: float) -> Done:
        """Have the VM as it is ordered, until the monotonic second `deadline`.

        A convergent verb looks first, and does nothing where all is as ordered; an opaque one is
        asked of the hypervisor once at most. After the deadline no effect is begun, so that
        with one in the past this only looks.

        Raises:
            VmNotFound, NotPossible, Refused, Unavailable: nothing was done.
            EffectFailed: it did not succeed, or not in time.
            EffectUnknown: nobody knows.
        """

    def check(self, patience_s: float) -> list[Finding]:
        """Whether this user may command VMs here; changes nothing."""

    def close(self) -> None:
        """Let go of connections; what is under way ends in its own time."""


@runtime_checkable
class Commandable(Protocol):
    """A Provider whose VMs can be commanded."""

    def lifecycle(self) -> Lifecycle:
        """Connects when it is used."""


def lifecycle_of(provider: object) -> Lifecycle | None:
    """None for a provider that can only measure."""
    return provider.lifecycle() if isinstance(provider, Commandable) else None
