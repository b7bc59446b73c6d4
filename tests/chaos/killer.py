"""kill -9 of collectors and store at random moments, and their restart."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from chaos.programs import Program, System

_SOON = 0.35  # killed again while it starts, or drains what waited
_TOGETHER = 0.1  # everything is killed at once, as by a reset of the machine
_STORE = 0.35
_STAYS_AWAY = 0.3


@dataclass
class Killer:
    """`killed` counts by program."""

    system: System
    chance: random.Random
    say: Callable[[str], None]
    killed: Counter[str] = field(default_factory=Counter)
    starts_failed: int = 0

    async def run(self, kills: int, limit_s: float) -> None:
        """Until so many kills are done, or `limit_s` is over."""
        deadline = time.monotonic() + limit_s
        while self.killed.total() < kills and time.monotonic() < deadline:
            soon = self.chance.random() < _SOON
            if not soon:
                await self.all_ready()
            await asyncio.sleep(self.chance.uniform(0, 2 if soon else 4))
            await self._strike(self._victims())
            self.say(f"{self.killed.total()} of {kills} kills")

    async def all_ready(self) -> None:
        """
        Raises:
            AssertionError: a program did not come back.
        """
        for program in self.system.programs:
            await asyncio.to_thread(program.wait)

    def _victims(self) -> tuple[Program, ...]:
        roll = self.chance.random()
        if roll < _TOGETHER:
            return self.system.programs
        if roll < _TOGETHER + _STORE:
            return (self.system.store,)
        return (self.chance.choice(self.system.collectors).program,)

    async def _strike(self, victims: tuple[Program, ...]) -> None:
        for program in victims:
            if not program.running():
                self.starts_failed += 1
            program.kill()
            self.killed[program.name] += 1
        if self.chance.random() < _STAYS_AWAY:
            await asyncio.sleep(self.chance.uniform(0.5, 4))
        for program in victims:
            program.start()
