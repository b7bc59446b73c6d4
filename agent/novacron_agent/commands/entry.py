"""A command as it stands in the journal, and what its end may be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from novacron_contract.commands import VERBS, Effect, Order, State


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """Received and expires, and `began` once it began, are seconds since the boot `boot_id`.

    `evidence`: the effect was seen, as what. `again`: it had begun before this process did.
    """

    order: Order
    place: int
    state: State
    boot_id: str
    received_wall: float
    expires: float
    began: float | None = None
    began_wall: float | None = None
    evidence: str = ""
    again: bool = False

    @property
    def id(self) -> str:
        return self.order.id

    @property
    def effect(self) -> Effect:
        return VERBS[self.order.verb].effect


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    state: State
    text: str = ""
    error: str = ""
    detail: Mapping[str, Any] = field(default_factory=dict)
