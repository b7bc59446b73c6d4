"""A destination's queue: bounded by size, age and the disk, the oldest first, all of it counted."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from novacron_collector.forward.parcel import Item, pack
from novacron_collector.forward.queue import Queue, QueueLimits, Taken
from novacron_collector.forward.state import Lost
from novacron_collector.wal.log import Log, LogLimits

KIB, MIB = 2**10, 2**20


@dataclass
class World:
    """A queue of small segments, by a clock of its own."""

    folder: Path
    size: float = 64 * MIB
    age: float = 1000.0
    reserve: float = 0.0
    segment: int = 1
    clock: float = 1000.0
    sent: int = 0  # requests; each is said to have as many points as there were before it
    queues: list[Queue] = field(default_factory=list)

    def queue(self) -> Queue:
        limits = LogLimits(size=2**40, keep_free=0, weight=self.segment, age=0)
        wal = Log(self.folder, limits, now=lambda: self.clock)
        bounds = QueueLimits(size=self.size, age=self.age, reserve=self.reserve)
        self.queues.append(Queue("there", wal, bounds, now=lambda: self.clock))
        return self.queues[-1]

    def offer(self, *bodies: bytes) -> None:
        items = [Item(body, self.sent + n) for n, body in enumerate(bodies)]
        self.queues[-1].offer(pack(items, self.clock))
        self.sent += len(bodies)
        for path in self.folder.glob("*.seg"):  # as old as this clock says
            if path.stat().st_mtime > 1e9:
                os.utime(path, (self.clock, self.clock))


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "queue")


def take(queue: Queue) -> Taken:
    taken = queue.take(0)
    assert taken is not None
    return taken


def rest(queue: Queue) -> list[bytes]:
    found = []
    while (taken := queue.take(0)) is not None:
        found += [item.body for item in taken.items()]
        queue.finish(taken)
    return found


def reopened(world: World) -> Queue:
    """As a new process finds it, segment times included."""
    world.queues[-1].close()
    return world.queue()


def test_what_was_offered_comes_out_in_its_order_after_a_restart_too(world: World) -> None:
    queue = world.queue()
    world.offer(b"a", b"b")
    world.offer(b"c")

    assert rest(reopened(world)) == [b"a", b"b", b"c"]
    assert queue.lost == Lost()


def test_what_is_in_hand_comes_again_until_it_is_finished(world: World) -> None:
    queue = world.queue()
    world.offer(b"a")

    take(queue)
    assert [item.body for item in take(queue).items()] == [b"a"]
    queue.finish(take(queue))
    assert queue.take(0) is None


def noise(count: int) -> bytes:
    return os.urandom(count)  # does not compress


def test_a_full_queue_drops_the_oldest_and_counts_requests_points_and_times(world: World) -> None:
    world.size = 300 * KIB
    queue = world.queue()
    bodies = [noise(90 * KIB) for _ in range(5)]
    for body in bodies:
        world.offer(body)
        world.clock += 10

    assert queue.lost == Lost(requests=2, points=1, since=1000.0, until=1010.0)
    assert queue.state().bytes <= world.size
    assert rest(queue) == bodies[2:]


def test_what_was_answered_before_it_was_dropped_is_not_lost(world: World) -> None:
    world.size = 300 * KIB
    queue = world.queue()
    world.offer(*(noise(50 * KIB) for _ in range(4)))
    taken = take(queue)
    taken.answered = 3

    world.offer(noise(290 * KIB))

    assert queue.lost.requests == 1
    assert not queue.holds(taken)
    queue.finish(taken)  # the sender may only learn of it afterwards
    assert len(rest(queue)) == 1


def test_what_waits_too_long_is_dropped_while_nothing_new_comes(world: World) -> None:
    world.segment = 100 * KIB  # one that is not full, and so not ended
    queue = world.queue()
    world.offer(b"a")
    world.clock += world.age / 2
    queue.keep_bounds()
    assert queue.lost == Lost()

    queue = reopened(world)
    world.clock += world.age

    queue.keep_bounds()
    assert queue.lost.requests == 1
    assert queue.take(0) is None


def test_a_request_larger_than_the_queue_costs_nobody_else(world: World) -> None:
    world.size = 100 * KIB
    queue = world.queue()
    world.offer(b"small")
    world.offer(noise(200 * KIB))

    assert queue.lost.requests == 1
    assert rest(queue) == [b"small"]


def test_the_queue_gives_way_when_the_disk_gets_full(world: World) -> None:
    """The receivers' own log comes first."""
    queue = world.queue()
    world.offer(noise(90 * KIB))
    room = os.statvfs(world.folder)
    world.reserve = 2.0 * room.f_bavail * room.f_frsize

    queue = reopened(world)
    queue.keep_bounds()

    assert queue.lost.requests == 1
    assert queue.state().bytes == 0


@pytest.fixture
def small_disk() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", folder]
        subprocess.run(mount, check=True)
        try:
            yield Path(folder)
        finally:
            subprocess.run(["umount", "-l", folder], check=True)


@pytest.mark.lab
def test_a_full_disk_is_counted_said_once_and_got_over(
    small_disk: Path, caplog: pytest.LogCaptureFixture
) -> None:
    world = World(small_disk / "queue")
    queue = world.queue()
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"x" * 200 * KIB)

    for _ in range(3):
        world.offer(noise(90 * KIB))
    assert queue.lost.requests == 3
    ballast.unlink()
    world.offer(b"fits")

    assert rest(queue) == [b"fits"]
    said = [record.message for record in caplog.records if record.levelname == "ERROR"]
    assert len(said) == 1
    assert "forwarding to there: its queue takes nothing" in said[0]


def test_a_damaged_segment_gives_what_can_be_read_and_is_kept(world: World) -> None:
    world.segment = MIB
    world.queue()
    for body in (b"first", b"second", b"third"):
        world.offer(body)
    world.queues[-1].close()
    (path,) = world.folder.glob("*.seg")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 255
    path.write_bytes(content)
    queue = world.queue()

    taken = take(queue)
    found = [item.body for item in taken.items()]
    queue.finish(taken)

    assert found == [b"first", b"third"]
    assert queue.state().set_aside == 1
    assert queue.state().bytes == 0


def test_a_segment_that_somebody_took_away_stops_nothing(world: World) -> None:
    queue = world.queue()
    world.offer(b"gone")
    world.offer(b"next")
    min(world.folder.glob("*.seg")).unlink()

    taken = take(queue)
    with pytest.raises(FileNotFoundError):
        list(taken.items())
    queue.give_up(taken, "it is gone")

    assert rest(queue) == [b"next"]
    assert queue.state().bytes == 0
