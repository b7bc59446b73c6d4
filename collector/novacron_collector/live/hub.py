"""From commits to clients: each gets frames of what it subscribed to, at most so many at a time."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from novacron_collector.live.newest import Newest, Series, Slots
from novacron_contract.errors import BadMessage, Unavailable
from novacron_store.telemetry.batch import Batch

_FRAME_BYTES = 256 * 1024
_MAX_NAMES = 10_000  # metrics or entities in one subscription


@dataclass(frozen=True, slots=True)
class Subscription:
    """`entities` None: all of them. `operations`: how they go on, too."""

    metrics: frozenset[str] = frozenset()
    entities: frozenset[str] | None = None
    operations: bool = False

    def wants(self, series: Series) -> bool:
        metric, entity, _ = series
        return metric in self.metrics and (self.entities is None or entity in self.entities)


def parse_subscription(text: str) -> Subscription:
    """
    Raises:
        BadMessage: it is none.
    """
    try:
        message = orjson.loads(text)
    except orjson.JSONDecodeError as err:
        raise BadMessage(f"not JSON: {err}") from err
    match message:
        case {"subscribe": {"metrics": list(metrics), **rest}}:
            entities: Any = rest.get("entities")
            operations = rest.get("operations", False)
            are_names = _are_names(metrics) and (entities is None or _are_names(entities))
            if are_names and isinstance(operations, bool):
                chosen = None if entities is None else frozenset(entities)
                return Subscription(frozenset(metrics), chosen, operations)
        case {"subscribe": {"operations": bool(operations), **rest}} if not rest:
            return Subscription(operations=operations)
    raise BadMessage(
        'expected {"subscribe": {"metrics": [name, …], "entities": [id, …] or null, '
        f'"operations": true}}}}, at most {_MAX_NAMES} of each'
    )


class Client:
    """One connection: frames wait in a bounded queue, and the oldest make room for new ones."""

    def __init__(self, max_frames: int, loop: asyncio.AbstractEventLoop) -> None:
        self._frames: deque[tuple[int, bytes, bytes]] = deque(maxlen=max_frames)
        self._loop = loop
        self._made = asyncio.Event()
        self._lock = threading.Lock()
        self._seq = 0
        self._dropped = 0
        self.subscription = Subscription()
        self.wanted: NDArray[np.bool_] = np.zeros(0, np.bool_)  # by slot

    def offer(self, points: bytes, operations: bytes = b"") -> None:
        """From any thread."""
        with self._lock:
            self._seq += 1
            self._dropped += len(self._frames) == self._frames.maxlen
            self._frames.append((self._seq, points, operations))
        self._loop.call_soon_threadsafe(self._made.set)

    async def next_frame(self) -> str:
        while True:
            with self._lock:
                if self._frames:
                    seq, points, operations = self._frames.popleft()
                    head = orjson.dumps(
                        {"seq": seq, "time": time.time_ns() // 10**6, "dropped": self._dropped}
                    )
                    also = b',"operations":[' + operations + b"]" if operations else b""
                    return (head[:-1] + b',"points":[' + points + b"]" + also + b"}").decode()
                self._made.clear()
            await self._made.wait()


class Hub:
    """`join` in the event loop; the rest from any thread."""

    def __init__(self, max_series: int, max_clients: int, max_frames: int = 64) -> None:
        self._newest = Newest(max_series)
        self._max_clients = max_clients
        self._max_frames = max_frames
        self._clients: list[Client] = []
        self._lock = threading.Lock()

    @property
    def clients(self) -> int:
        return len(self._clients)

    def publish(self, batch: Batch) -> None:
        with self._lock:
            changed = self._newest.update(batch)
            for client in self._clients:
                self._look_at_new_series(client)
                self._offer(client, changed[client.wanted[changed]])

    @property
    def operations_followed(self) -> bool:
        return any(client.subscription.operations for client in self._clients)

    def publish_operations(self, changed: Sequence[Mapping[str, Any]]) -> None:
        pieces = list(_chunks(iter(changed)))
        with self._lock:
            for client in self._clients:
                if client.subscription.operations:
                    for piece in pieces:
                        client.offer(b"", piece)

    def join(self) -> Client:
        """
        Raises:
            Unavailable: there are as many as are allowed.
        """
        with self._lock:
            if len(self._clients) >= self._max_clients:
                raise Unavailable(f"{self._max_clients} clients follow the live feed already")
            client = Client(self._max_frames, asyncio.get_running_loop())
            self._clients.append(client)
            return client

    def leave(self, client: Client) -> None:
        with self._lock:
            self._clients.remove(client)

    def subscribe(self, client: Client, subscription: Subscription) -> None:
        """Replace what `client` gets; the newest known values come first."""
        with self._lock:
            client.subscription = subscription
            client.wanted = np.zeros(0, np.bool_)
            self._look_at_new_series(client)
            self._offer(client, np.flatnonzero(client.wanted & (self._newest.ts > 0)))

    def _look_at_new_series(self, client: Client) -> None:
        known = len(client.wanted)
        fresh = [client.subscription.wants(series) for series in self._newest.series[known:]]
        if fresh:
            client.wanted = np.concatenate((client.wanted, np.array(fresh, np.bool_)))

    def _offer(self, client: Client, slots: Slots) -> None:
        for points in _chunks(self._newest.point(slot) for slot in slots.tolist()):
            client.offer(points)


def _are_names(values: Any) -> bool:
    return (
        isinstance(values, list)
        and len(values) <= _MAX_NAMES
        and all(isinstance(value, str) for value in values)
    )


def _chunks(points: Iterator[Any]) -> Iterator[bytes]:
    """Encoded points or operations, comma-separated, in pieces that make one message each."""
    piece: list[bytes] = []
    size = 0
    for point in points:
        encoded = orjson.dumps(point)
        if piece and size + len(encoded) > _FRAME_BYTES:
            yield b",".join(piece)
            piece, size = [], 0
        piece.append(encoded)
        size += len(encoded) + 1
    if piece:
        yield b",".join(piece)
