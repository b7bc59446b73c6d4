"""The last step of every receiver: a body, in whatever encoding it came, to its outcome."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field

from novacron_collector.admission import Room
from novacron_collector.otlp.decoded import Outcome
from novacron_collector.otlp.json import to_protobuf
from novacron_collector.pipeline import Pipeline, Request
from novacron_collector.receivers.refusals import Refusals
from novacron_contract.errors import BadMessage, TooLarge


@dataclass(frozen=True, slots=True)
class Intake:
    pipeline: Pipeline
    room: Room
    refusals: Refusals = field(default_factory=Refusals)
    _json_turn: asyncio.Lock = field(init=False, default_factory=asyncio.Lock)

    async def protobuf(
        self,
        body: bytes,
        sent_at: str | None,
        sent: bytes | None = None,
        agent_id: str | None = None,
    ) -> Outcome:
        """`sent`: the bytes on the wire, where those were others. `agent_id`: of the identity that
        the sender proved.

        Raises:
            BadMessage: it is not OTLP.
            TooLarge: there is too much in it.
            Unavailable: it is not stored, and may be sent again.
        """
        request = Request(body, _clock_offset(sent_at), sent, agent_id=agent_id)
        outcome = await self.pipeline.store(request)
        if outcome.error:
            raise (TooLarge if outcome.too_large else BadMessage)(outcome.error)
        return outcome

    async def json(self, body: bytes, sent_at: str | None, sent: bytes | None = None) -> Outcome:
        """As `protobuf`, which it becomes: one at a time, as JSON takes many times its length."""
        return await self.protobuf(await self.from_json(body), sent_at, sent)

    async def from_json(self, body: bytes) -> bytes:
        """
        Raises:
            BadMessage: it is not OTLP/JSON.
        """
        async with self._json_turn:
            return await asyncio.to_thread(to_protobuf, body)


def _clock_offset(sent_at: str | None) -> float | None:
    """The sender's clock minus ours, from its time in unix milliseconds."""
    try:
        sent_ms = int(sent_at or "")
    except ValueError:
        return None
    return sent_ms / 1000 - time.time() if 0 < sent_ms < 2**53 else None
