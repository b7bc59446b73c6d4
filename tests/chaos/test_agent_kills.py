"""kill -9 of novacron-agent itself, again and again, while its receiver is there, busy or away."""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from chaos.agent_books import Arrived, Waiting, spooled
from delivering import wait_until
from otlp_receiver import Receiver, Response, otlp_receiver

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(1800)]

KILLS = int(os.environ.get("KILLS", "15"))
SEED = int(os.environ.get("SEED", "20261130"))
_TICK_S = 1.0  # the shortest an agent takes
_OUTAGE = range(80, 140)  # so many lives without a receiver: what waits grows too old
_AGE_S = 60  # the shortest a spool takes


@dataclass
class Life:
    """From the agent's first tick to its end, in nanoseconds since 1970."""

    began_ns: int
    ended_ns: int


@dataclass
class World:
    """An agent's folder, and the receivers it has had, one after the other on one port."""

    place: Path
    chance: random.Random
    port: int = 0
    receivers: list[Receiver] = field(default_factory=list)
    refusing: float = 0.0

    def answer(self, _body: bytes) -> Response:
        """Some answers come late: the agent may be dead by then, and cannot know it was taken."""
        if self.chance.random() < 0.3:
            time.sleep(self.chance.uniform(0, 0.5))
        if self.chance.random() < self.refusing:
            return Response(self.chance.choice((429, 503)))
        return Response(200)

    @contextmanager
    def receiving(self) -> Iterator[None]:
        with otlp_receiver(self.port, self.answer) as receiver:
            self.port = int(receiver.url.rpartition(":")[2])
            self.receivers.append(receiver)
            yield

    def arrived(self) -> Arrived:
        return Arrived(one.body for receiver in self.receivers for one in receiver.accepted)

    @property
    def spool(self) -> Path:
        return self.place / "agent/spool/there.sqlite"

    @contextmanager
    def agent(self) -> Iterator[subprocess.Popen[str]]:
        """From its first tick on; killed afterwards."""
        config = self.place / "agent.toml"
        config.write_text(
            f'[agent]\ninterval = "{_TICK_S:g}s"\nid_file = "{self.place}/agent/agent-id"\n'
            f'[[destinations]]\nname = "there"\nendpoint = "http://127.0.0.1:{self.port}"\n'
            f'spool_age = "{_AGE_S}s"\ntimeout = "2s"\n'
            '[provider]\nname = "kvm"\nuri = "test:///default"\n'
        )
        command = [sys.executable, "-m", "novacron_agent", "--config", str(config)]
        log = self.place / "agent.log"
        said = log.stat().st_size if log.exists() else 0
        with log.open("ab") as err, subprocess.Popen(command, stderr=err, text=True) as process:
            try:
                wait_until(lambda: b" every 1 s, to " in log.read_bytes()[said:], 30)
                yield process
            finally:
                process.kill()


def test_what_a_killed_agent_had_on_disk_arrives_once_or_is_in_a_gap_that_is_told(
    tmp_path: Path,
) -> None:
    chance = random.Random(SEED)
    world, on_disk, lives = World(tmp_path, chance), dict[bytes, Waiting](), list[Life]()
    with world.receiving():
        pass  # it has a port now, and may be away from the first life on
    for number in range(KILLS):
        world.refusing = chance.choice((0.0, 0.5, 1.0, 1.0))
        away = number in _OUTAGE or chance.random() < 0.3
        with contextlib.nullcontext() if away else world.receiving():
            lives.append(_life(world, 5 if number % 10 == 9 else 1.5))
            on_disk |= {one.body: one for one in spooled(world.spool)}
    world.refusing = 0.0
    with world.receiving():
        lives.append(_drain(world, on_disk))

    arrived = world.arrived()
    missing = [one for body, one in on_disk.items() if body not in arrived.bodies]
    _say(arrived, on_disk, missing, lives)
    assert on_disk, "something waited when it was killed"
    for one in missing:
        told = [g for g in arrived.gaps if g.first_ns <= one.first_ns and one.last_ns <= g.last_ns]
        assert told, "what is missing is in a gap"
    # A batch that came to disk and grew too old between two kills is told as well
    assert sum(one.points for one in missing) <= sum(gap.points for gap in arrived.gaps)
    assert missing or not arrived.gaps
    assert arrived.twice() == []
    assert len(arrived.counters()) > 30
    assert arrived.went_back() == []
    assert _unexplained(arrived.ticks(), lives, missing) == []
    assert len(arrived.ticks()) > KILLS / 2


def _life(world: World, longest_s: float) -> Life:
    with world.agent() as process:
        began_ns = time.time_ns()
        time.sleep(world.chance.uniform(0, longest_s))
        process.kill()
        process.wait()
    return Life(began_ns, time.time_ns())


def _drain(world: World, on_disk: dict[bytes, Waiting]) -> Life:
    """A life in which all is delivered, and which ends as it should."""
    with world.agent() as process:
        began_ns = time.time_ns()
        wait_until(lambda: not on_disk.keys() & {one.body for one in spooled(world.spool)}, 120)
        time.sleep(3 * _TICK_S)
        process.terminate()
        assert process.wait(15) == 0
    return Life(began_ns, time.time_ns())


def _unexplained(ticks: list[int], lives: list[Life], missing: list[Waiting]) -> list[float]:
    """Seconds without a sample, where none was lost with a kill. A tick may be late on a busy
    machine, and one that was is not caught up on."""
    found = []
    for before, later in itertools.pairwise(ticks):
        seconds = (later - before) / 1e9
        killed = any(before <= life.ended_ns <= later for life in lives)
        lost = any(before <= one.last_ns <= later for one in missing)
        if seconds > 4 * _TICK_S and not killed and not lost:
            found.append(seconds)
    return found


def _say(
    arrived: Arrived, on_disk: dict[bytes, Waiting], missing: list[Waiting], lives: list[Life]
) -> None:
    within = [
        (later - before) / 1e9
        for before, later in itertools.pairwise(arrived.ticks())
        if not any(before <= life.ended_ns <= later for life in lives)
    ]
    longest_s = max(within, default=0.0)
    sys.stdout.write(
        f"{KILLS} kills, seed {SEED}: {len(on_disk)} batches on disk at a kill, "
        f"{len(missing)} of them missing, {len(arrived.gaps)} gaps told of "
        f"{sum(gap.points for gap in arrived.gaps)} points; {len(arrived.bodies)} requests with "
        f"{len(arrived.series)} series arrived, {len(arrived.counters())} of them counters; "
        f"{len(arrived.ticks())} ticks, at most {longest_s:.2f} s apart within a life\n"
    )
