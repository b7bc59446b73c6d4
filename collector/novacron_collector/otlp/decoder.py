"""Requests to rows: the fast path for all of them at once, each one alone where that fails."""

from __future__ import annotations

from collections.abc import Sequence

from novacron_collector.otlp.catalog import Catalog
from novacron_collector.otlp.decoded import Decoded, OddMessageError, Outcome, merge
from novacron_collector.otlp.limits import PointLimits, Window
from novacron_collector.otlp.overflow import Overflow
from novacron_collector.otlp.plain import PlainDecoder
from novacron_collector.otlp.quota import SeriesQuota
from novacron_collector.otlp.raw import RawDecoder
from novacron_contract.errors import BadMessage
from novacron_store.telemetry.batch import Batch

# What is remembered beside a series: its metric, other spellings of it, series turned away.
_KEYS_OF_A_SERIES = 2


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

    def decode(self, bodies: Sequence[bytes], now_s: float) -> Decoded:
        """Rows of one write, and what each request is to be told. A bad request fails alone."""
        now = int(now_s * 1000)
        oldest, newest = now_s - self._max_age_s, now_s + self._limits.max_ahead
        window = Window(int(oldest * 1000), int(newest * 1000))
        try:
            decoded = self._raw.decode(bodies, window, now)
        except (BadMessage, OddMessageError):
            decoded = merge([self._decode_alone(body, window, now) for body in bodies])
        overflow = self._overflow.take(self._catalog, now)
        return decoded if overflow is None else merge([decoded, overflow])

    def forget(self) -> None:
        """Describe every series again: what was decoded last never reached the store."""
        self._raw.forget()
        self._catalog.forget()

    def _decode_alone(self, body: bytes, window: Window, now: int) -> Decoded:
        try:
            return self._raw.decode([body], window, now)
        except OddMessageError:
            return self._plain.decode([body], window, now)
        except BadMessage as err:
            return Decoded(Batch({}), [Outcome(error=str(err))], [])
