"""Requests as the agent's encoder makes them, whose points can be told apart."""

from __future__ import annotations

from random import Random

from noon import NOON
from novacron_agent.otlp import Encoder, Request
from novacron_agent.readings import Reading

START_NS = (NOON - 41_600) * 10**9
TICK_NS = 10 * 10**9


def request(number: int = 0, points: int = 1, padding: int = 0) -> Request:
    """Of the tick `number`; `padding` characters that do not compress are in each point."""
    reading = Reading({"vm.id": "v1"}, START_NS + number * TICK_NS)
    for point in range(points):
        name = f"vd{point}" + noise(number * points + point, padding)
        reading.add("vm.disk.limit", point, {"system.device": name})
    [encoded] = Encoder("1").encode([reading])
    return encoded


def noise(seed: int, length: int) -> str:
    return Random(seed).randbytes((length + 1) // 2).hex()[:length]
