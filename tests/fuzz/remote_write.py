"""Prometheus remote write, with its snappy block, down to rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from fuzz.target import Decode, Target
from novacron_collector.otlp.decoded import Decoded, Outcome
from novacron_collector.otlp.decoder import Decoder
from novacron_collector.otlp.limits import PointLimits
from novacron_collector.prometheus.convert import Converted, Converter
from novacron_collector.receivers.remote_write import inflated, inflated_size
from novacron_contract.errors import NovaCronError
from remote_write_bodies import compressed, message, native_histogram, plain_bodies, request, series

_SERIES = 20_000
_LIMIT = 16 * 2**20


def seeds(now_s: float) -> list[bytes]:
    return [body for body in plain_bodies(int(now_s * 1000)) if body]


def honest(now_s: float) -> list[bytes]:
    at = int(now_s * 1000)
    target = {"job": "honest", "instance": "1:9100"}
    up = series({**target, "__name__": "up"}, (1.0, at), (0.0, at - 1000))
    total = series({**target, "__name__": "orders_total", "path": "/"}, (7.0, at))
    native = series({**target, "__name__": "latency"}, histograms=[native_histogram(at)])
    return [request(up, total), request(native)]


class _Receiver:
    """What the receiver does with bodies, without its HTTP."""

    def __init__(self) -> None:
        limits = PointLimits(max_series_per_entity=2000)
        self._converter = Converter(limits, _LIMIT)
        self._decoder = Decoder(limits, 7 * 86400, _SERIES)

    def decode(self, bodies: Sequence[bytes], now_s: float) -> Decoded:
        converted = [self._converted(body) for body in bodies]
        otlp = [one.body if isinstance(one, Converted) else b"" for one in converted]
        decoded = self._decoder.decode(otlp, now_s)
        told = [_told(*pair) for pair in zip(converted, decoded.outcomes, strict=True)]
        return Decoded(decoded.batch, told, decoded.sightings)

    def _converted(self, body: bytes) -> Converted | NovaCronError:
        sent = compressed(body)
        if len(body) % 10 == 3 and b"honest" not in body:  # the block itself is damaged, too
            at = len(body) % len(sent)
            sent = sent[:at] + bytes([sent[at] ^ 0x55]) + sent[at + 1 :]
        try:
            inflated_size(sent, _LIMIT)
            return self._converter.convert(inflated(sent))
        except NovaCronError as err:
            return err


def _told(converted: Converted | NovaCronError, outcome: Outcome) -> Outcome:
    if not isinstance(converted, Converted):
        return Outcome(error=str(converted))
    rejected: Counter[Any] = outcome.rejected + converted.rejected
    return Outcome(outcome.points, rejected, outcome.error, outcome.rounded)


def _start() -> Decode:
    return _Receiver().decode


TARGET = Target(seeds, honest, message("WriteRequest").DESCRIPTOR, _start)
