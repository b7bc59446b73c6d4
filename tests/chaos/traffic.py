"""Honest senders in the background of a scenario, straight to the collectors."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from chaos.accounts import Account
from chaos.messages import Timeline
from chaos.senders import Sender
from chaos.transports import Grpc, Http, Transport

_ANSWERED_S = 180
_TIMEOUT_S = 5.0
_LAGS = (0.0, 400.0, 36_000.0)


@dataclass
class Traffic:
    """The accounts of its senders, readable while they send."""

    accounts: list[Account] = field(default_factory=list)

    def acknowledged(self) -> int:
        """Requests so far."""
        return sum(account.counts["requests acknowledged"] for account in self.accounts)

    def counted(self, what: str) -> int:
        return sum(account.counts[what] for account in self.accounts)


@contextmanager
def traffic(
    name: str,
    http: Sequence[str],
    grpc: Sequence[str],
    *,
    senders: int = 4,
    points: int = 20,
    lag_s: float | None = None,
) -> Iterator[Traffic]:
    """Until the block ends, and every request has its answer. Every other sender speaks gRPC.

    `lag_s`: how old all points are; else some are new, some late, some of a past that passes
    quickly.

    Raises:
        AssertionError: some requests got no answer in the end.
    """
    made = Traffic()
    loop, stop = asyncio.new_event_loop(), asyncio.Event()
    work = [
        _sender(made, f"{name}-{n}", (grpc, http)[n % 2], points, lag_s) for n in range(senders)
    ]

    async def send() -> None:
        await asyncio.gather(*(sender.run(stop) for sender in work))

    thread = threading.Thread(target=loop.run_until_complete, args=(send(),), daemon=True)
    thread.start()
    try:
        yield made
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(_ANSWERED_S)
    assert not thread.is_alive(), "some requests got no answer"
    loop.close()


def _sender(
    made: Traffic, entity: str, addresses: Sequence[str], points: int, lag_s: float | None
) -> Sender:
    number = len(made.accounts)
    account = Account(entity)
    made.accounts.append(account)
    kind = Http if number % 2 else Grpc
    targets: list[Transport] = [kind(address, _TIMEOUT_S) for address in addresses]
    lag = _LAGS[number % len(_LAGS)] if lag_s is None else lag_s
    timeline = Timeline(time.time(), lag, 25.0 if lag == _LAGS[-1] else 1.0)
    return Sender(account, timeline, targets, random.Random(entity), points)
