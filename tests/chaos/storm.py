"""The storm: senders, a network that fails, programs that are killed; then the reckoning."""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

from chaos.accounts import Account
from chaos.checker import Checked
from chaos.killer import Killer
from chaos.messages import Timeline
from chaos.programs import System, system
from chaos.proxy import Kind, Proxy, Weather
from chaos.reckoning import reckon
from chaos.senders import Sender
from chaos.transports import Grpc, Http, Transport
from novacron_contract.errors import NovaCronError
from novacron_store.telemetry.rollups import Roller

_ANSWERED_S = 180.0
_ROLL_EVERY_S = 3.0
# Seconds behind now, and speed: live; where a window is being rolled up as its points come; long
# past and catching up, so that many windows and hours close in the run.
_TIMES = ((0.0, 1.0), (420.0, 1.0), (36_000.0, 25.0), (5.0, 1.0), (390.0, 1.05), (80_000.0, 60.0))


@dataclass(frozen=True, slots=True)
class Plan:
    """What happens; the seed decides when. A run of the same plan is alike, not equal."""

    seed: int
    kills: int
    senders: int = 12
    by_grpc: int = 2  # so many of the senders
    collectors: int = 1
    limit_s: float = math.inf  # no kills after so long
    faults: float = 0.6  # share of connections that one strikes
    timeout_s: float = 2.0


@dataclass(frozen=True, slots=True)
class Report:
    plan: Plan
    seconds: float
    killed: Counter[str]
    struck: Counter[Kind]
    accounts: Sequence[Account]
    checked: Checked

    @property
    def violations(self) -> tuple[str, ...]:
        return self.checked.violations

    def rows(self) -> Iterator[tuple[str, object]]:
        """Names and figures, as a table shows them."""
        counts = sum((account.counts for account in self.accounts), Counter[str]())
        yield "seed", self.plan.seed
        yield "seconds", round(self.seconds)
        yield from ((f"kills of {name}", n) for name, n in sorted(self.killed.items()))
        yield from ((f"faults: {kind}", n) for kind, n in sorted(self.struck.items()))
        yield "points sent", 2 * sum(len(account.sent) for account in self.accounts)
        yield "points acknowledged", 2 * sum(len(account.acked) for account in self.accounts)
        yield from sorted(counts.items())
        yield "samples in the store", self.checked.samples
        yield "buckets compared", self.checked.buckets
        yield "violations", len(self.violations)


@dataclass
class Storm:
    """One run. `say` gets a line now and then."""

    plan: Plan
    folder: Path
    say: Callable[[str], None]
    _accounts: list[Account] = field(default_factory=list)

    def run(self) -> Report:
        """
        Raises:
            AssertionError: a program did not come back, or ended with an error.
        """
        started = time.monotonic()
        parts = system(self.folder, self.plan.collectors)
        try:
            parts.start()
            killed, struck = asyncio.run(self._rage(parts))
            self.say("the storm is over: waiting until all is in the store")
            checked = reckon(parts, self._accounts)
        finally:
            parts.end()
        seconds = time.monotonic() - started
        return Report(self.plan, seconds, killed, struck, self._accounts, checked)

    # -- the storm ------------------------------------------------------------------------------

    async def _rage(self, parts: System) -> tuple[Counter[str], Counter[Kind]]:
        """Until every kill is done, all is healed, and every sender has had its answers."""
        weather = Weather(random.Random(self.plan.seed), self.plan.faults)
        killer = Killer(parts, random.Random(self.plan.seed + 1), self.say)
        stop = asyncio.Event()
        async with AsyncExitStack() as running:
            proxies = [
                await running.enter_async_context(Proxy(address, weather).serving())
                for collector in parts.collectors
                for address in (collector.http, collector.grpc)
            ]
            senders = [asyncio.create_task(s.run(stop)) for s in self._senders(proxies)]
            rolling = asyncio.create_task(_roll_now_and_then(parts))
            try:
                await killer.run(self.plan.kills, self.plan.limit_s)
                await killer.all_ready()
                weather.calm = True
                for proxy in proxies:
                    proxy.reset_all()
                stop.set()
                await asyncio.wait_for(asyncio.gather(*senders), _ANSWERED_S)
            finally:
                rolling.cancel()
                with suppress(asyncio.CancelledError):
                    await rolling
        return killer.killed, sum((proxy.struck for proxy in proxies), Counter[Kind]())

    def _senders(self, proxies: Sequence[Proxy]) -> Iterator[Sender]:
        now = time.time()
        for number in range(self.plan.senders):
            chance = random.Random(self.plan.seed * 1000 + number)
            lag, speed = _TIMES[number % len(_TIMES)]
            timeline = Timeline(now, lag + chance.uniform(0, 30), speed)
            account = Account(f"chaos-{self.plan.seed}-{number}")
            self._accounts.append(account)
            kind = Grpc if number < self.plan.by_grpc else Http
            own = proxies[kind is Grpc :: 2]
            targets: list[Transport] = [kind(p.address, self.plan.timeout_s) for p in own]
            yield Sender(account, timeline, targets, chance)


async def _roll_now_and_then(parts: System) -> None:
    """A collector that is killed every few seconds would hardly ever roll up."""
    while True:
        await asyncio.sleep(_ROLL_EVERY_S)
        await asyncio.to_thread(_roll, parts)


def _roll(parts: System) -> None:
    with suppress(NovaCronError):  # the store is away, as it may be
        client = parts.client()
        Roller(client).run()
        client.close()
