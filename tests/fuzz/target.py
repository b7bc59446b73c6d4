"""What is fuzzed: where its seeds come from, and how bodies become rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from novacron_collector.otlp.decoded import Decoded

Decode = Callable[[Sequence[bytes], float], Decoded]  # bodies of one group, unix seconds


@dataclass(frozen=True, slots=True)
class Target:
    """`seeds` and `honest` make bodies whose points are of this time, in unix seconds.

    Honest bodies are sent along with mutated ones and must come out as if they were alone. Their
    entities' names begin with "honest", and nobody else's do.
    """

    seeds: Callable[[float], list[bytes]]
    honest: Callable[[float], list[bytes]]
    descriptor: Any  # of the message that a body is
    start: Callable[[], Decode]  # a decoder that has met nothing yet


def load(name: str) -> Target:
    """From "module:attribute"."""
    module, attribute = name.split(":")
    target = getattr(import_module(module), attribute)
    assert isinstance(target, Target)
    return target
