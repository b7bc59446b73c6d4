"""Where guests come from: one folder per provider, one Protocol, loaded by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from novacron_agent.finding import Finding
from novacron_agent.identity import Machine
from novacron_agent.readings import Scrape
from novacron_contract.plugins import Registry

PROVIDERS = Registry("novacron.providers")


class Provider(Protocol):
    """A hypervisor or a cloud. A frozen dataclass: its fields are its options in agent.toml.

    One that can command its VMs has `lifecycle()` as well: novacron_agent.providers.lifecycle.
    """

    def scrape(self, machine: Machine | None) -> Scrape:
        """Measure every guest and what runs them, now.

        `machine` is the agent's own machine where [host] reports it: a provider that measures the
        same machine reports it under the same resource. Called again and again from one thread;
        it may block, the agent's other sources go on meanwhile. A guest that does not answer
        holds up no other, and what is measured more rarely is in some scrapes only.

        Raises:
            Unavailable: nothing can be measured now; the message says why, in one sentence.
        """

    def watch(self, notify: Callable[[], None]) -> None:
        """Call `notify`, from any thread and at once, whenever a guest has changed its state."""

    def changes(self, machine: Machine | None) -> Scrape:
        """The states of the guests that changed since this was asked last, and nothing else.

        Raises:
            Unavailable: as scrape().
        """

    def check(self, patience_s: float) -> list[Finding]:
        """Try what measuring needs, within so long; say how to mend what is not there."""

    def close(self) -> None:
        """Let go of what it holds; a later scrape may connect again."""
