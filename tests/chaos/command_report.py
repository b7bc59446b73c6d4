"""A storm over commands as it was planned, and what is told of it in the end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from chaos.creations import Census, Misfit
from chaos.effects import Told
from chaos.proxy import Kind
from novacron_contract.commands import State

_LOST = (Kind.CUT_ANSWER, Kind.DROP_ANSWER)


@dataclass(frozen=True, slots=True)
class Plan:
    """The seed decides when what happens. `agents` are for each driver, `guests` for each agent of
    QEMU's; libvirt's own cost nothing, so these have twice as many."""

    seed: int
    commands: int
    agents: int = 3
    guests: int = 4
    pause_s: float = 0.4  # between two operations
    calm_s: float = 1.2  # between two kills
    state_url: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    plan: Plan
    seconds: float
    killed: Counter[str]
    cut_off: int
    struck: Counter[Kind]
    asked_again: int
    deliveries: int
    told: Sequence[Told]
    happened: int
    left: Census
    said_left: Sequence[Misfit]
    violations: tuple[str, ...]

    def rows(self) -> Iterator[tuple[str, object]]:
        """Names and figures, as a table shows them."""
        yield "seed", self.plan.seed
        yield "seconds", round(self.seconds)
        yield from ((f"kills of {name}", n) for name, n in sorted(self.killed.items()))
        yield "cut off while VMs came or went", self.cut_off
        yield from ((f"faults: {kind}", n) for kind, n in sorted(self.struck.items()))
        yield "answers lost", sum(self.struck[kind] for kind in _LOST)
        yield "requests of people asked again", self.asked_again
        yield "commands", len(self.told)
        yield "deliveries", self.deliveries
        yield "effects on guests", self.happened
        states = Counter((one.verb.value, one.state.value) for one in self.told)
        yield from ((f"{verb}: {state}", n) for (verb, state), n in sorted(states.items()))
        yield "VMs that were made and are there", len(self.left.defined)
        yield "left, as commands say themselves", len(self.said_left)
        opened = sum(one.state is State.SUCCEEDED and one.changed is None for one in self.told)
        yield "succeeded, by whom is open", opened
