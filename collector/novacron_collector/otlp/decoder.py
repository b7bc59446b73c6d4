"""Requests to rows: the fast path for all of them at once, each one alone where that fails."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from novacron_collector.otlp.catalog import Catalog
from novacron_collector.otlp.counting import has_more_parts
from novacron_collector.otlp.decoded import Decoded, OddMessageError, Outcome, merge
from novacron_collector.otlp.limits import PointLimits, Window
from novacron_collector.otlp.overflow import Overflow
from novacron_collector.otlp.plain import PlainDecoder
from novacron_collector.otlp.quota import SeriesQuota
from novacron_collector.otlp.raw import RawDecoder
from novacron_contract.errors import BadMessage, TooLarge
from novacron_store.telemetry.batch import Batch
from novacron_store.telemetry.retention import Retention

# What is remembered beside a series: its metric, other spellings of it, series turned away.
_KEYS_OF_A_SERIES = 2
# What is read takes up to a hundred times its bytes on the wire: at most about 400 MB at a time.
_PORTION = 4 * 2**20
_LARGE = _PORTION // 2  # larger ones are counted before they are read
_PARTS = 1_000_000
_ODD_PARTS = 100_000  # of one that is read point by point, in Python
_ADVICE = "send fewer at a time"


class Decoder:
    """Serves one thread. `max_age_s`: what is older than the store keeps is rejected; `series`: how
    many there may be in all."""

    def __init__(self, limits: PointLimits, max_age_s: float, series: int) -> None:
        self._limits = limits
        self._max_age_s = max_age_s
        self._catalog = Catalog(_KEYS_OF_A_SERIES * series)
        self._overflow = Overflow()
        shared = (self._catalog, SeriesQuota(limits, series), self._overflow)
        self._raw = RawDecoder(limits, *shared, capacity=_KEYS_OF_A_SERIES * series)
        self._plain = PlainDecoder(limits, *shared)

    def decode(
        self, bodies: Sequence[bytes], now_s: float, proven: Sequence[bool] | None = None
    ) -> Decoded:
        """Rows of one write, and what each request is to be told. A bad request fails alone.
        `proven`: see Catalog.begin."""
        now = int(now_s * 1000)
        oldest, newest = now_s - self._max_age_s, now_s + self._limits.max_ahead
        window = Window(int(oldest * 1000), int(newest * 1000))
        known = proven or [False] * len(bodies)
        parts = [
            self._decode_some(bodies[some], known[some], window, now) for some in _portions(bodies)
        ]
        overflow = self._overflow.take(self._catalog, now)
        if overflow is not None:
            parts.append(overflow)
        return parts[0] if len(parts) == 1 else merge(parts)

    @property
    def series(self) -> int:
        """How many were described since the last `forget`. Any thread."""
        return self._catalog.series

    def learn(self, retention: Retention) -> None:
        """What is older than the class that is kept longest is rejected from now on. Any thread."""
        self._max_age_s = retention.longest

    def forget(self) -> None:
        """Describe every series again: what was decoded last never reached the store."""
        self._raw.forget()
        self._catalog.forget()

    def _decode_some(
        self, bodies: Sequence[bytes], proven: Sequence[bool], window: Window, now: int
    ) -> Decoded:
        if len(bodies) == 1:
            return self._decode_alone(bodies[0], proven, window, now)
        try:
            return self._raw.decode(bodies, window, now, proven)
        except (BadMessage, TooLarge, OddMessageError):
            each = zip(bodies, proven, strict=True)
            return merge([self._decode_alone(body, [one], window, now) for body, one in each])

    def _decode_alone(
        self, body: bytes, proven: Sequence[bool], window: Window, now: int
    ) -> Decoded:
        try:
            if len(body) > _LARGE and has_more_parts(body, _PARTS):
                raise TooLarge(f"more than {_PARTS} metrics and points in one request: {_ADVICE}")
            try:
                return self._raw.decode([body], window, now, proven)
            except OddMessageError:
                if len(body) > _LARGE or has_more_parts(body, _ODD_PARTS):
                    raise TooLarge(f"too much in one request of this form: {_ADVICE}") from None
                return self._plain.decode([body], window, now, proven)
        except (BadMessage, TooLarge) as err:
            outcome = Outcome(error=str(err), too_large=isinstance(err, TooLarge))
            return Decoded(Batch({}), [outcome], [])


def _portions(bodies: Sequence[bytes]) -> Iterator[slice]:
    """Which bodies are decoded together; a large one is alone."""
    first = size = 0
    for at, body in enumerate(bodies):
        weight = len(body) if len(body) <= _LARGE else _PORTION + 1
        if at > first and size + weight > _PORTION:
            yield slice(first, at)
            first, size = at, 0
        size += weight
    yield slice(first, None)
