"""What agents tell of what is missing, where what they told is odd, or much."""

from __future__ import annotations

import math
from datetime import timedelta

from clickhouse_connect.driver.client import Client

from noon import NOON
from novacron_store.telemetry.queries import Gap, Silence, gaps, silences
from novacron_store.telemetry.writer import write
from store.batches import Line, Samples, at, batch

MINUTE = timedelta(minutes=1)
LENGTH, POINTS = "novacron.agent.gap.duration", "novacron.agent.gap.points"
AGENT = "novacron-agent/1"


def store_answers(store: Client, told: dict[str, Samples]) -> None:
    lines = [Line("libvirt.monitor.responding", vm, samples) for vm, samples in told.items()]
    write(store, batch(lines), "answers", at(NOON))


def test_a_silence_whose_beginning_cannot_be_told_has_none(store: Client) -> None:
    store_answers(store, {"vm-1": [(NOON, 0), (NOON, 1)]})

    assert silences(store, ["vm-1"], at(NOON), MINUTE) == [Silence("vm-1", None)]


def test_since_when_is_looked_for_of_the_first_guests_alone(store: Client) -> None:
    silent = [(NOON - 180, 0), (NOON, 0)]
    store_answers(store, {"vm-1": silent, "vm-2": silent})

    found = silences(store, ["vm-1", "vm-2"], at(NOON), MINUTE, most=1)

    assert found == [Silence("vm-1", at(NOON - 180)), Silence("vm-2", None)]


def test_absurd_lengths_and_counts_of_gaps_leave_the_others(store: Client) -> None:
    absurd = [math.nan, math.inf, 1e300, -60.0, 30.0, 20.0, 10.0]
    lengths = [(NOON + n, length) for n, length in enumerate(absurd)]
    counts = [(NOON + 4, 1e300), (NOON + 5, math.nan), (NOON + 6, 7.0)]
    lines = [Line(LENGTH, AGENT, lengths), Line(POINTS, AGENT, counts)]
    write(store, batch(lines), "gaps", at(NOON))

    assert gaps(store, [AGENT], at(NOON - 60), at(NOON + 60)) == [
        Gap(AGENT, at(NOON - 26), at(NOON + 4), "", 0),
        Gap(AGENT, at(NOON - 15), at(NOON + 5), "", 0),
        Gap(AGENT, at(NOON - 4), at(NOON + 6), "", 7),
    ]
