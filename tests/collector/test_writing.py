"""From the log to the store: everything that can be read back is stored, once, whatever happens."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pytest

from live_feed import wait_until
from novacron_collector.wal.batches import keys_of, pack, unpack
from novacron_collector.wal.frames import Frame
from novacron_collector.writing import WriterThread
from novacron_contract.errors import Unavailable
from novacron_store.telemetry.batch import SCHEMAS, Batch
from wal_folder import Wal, limits, opened

KEYS = [b"0123456789abcdef", b"fedcba9876543210"]


def batch(*entities: str) -> Batch:
    rows = {
        "metric": ["m"] * len(entities),
        "entity": list(entities),
        "seen": [1_800_000_000_000] * len(entities),
    }
    schema = SCHEMAS["samples"]
    arrays = [
        pa.array(rows["metric"]).dictionary_encode().cast(schema.field("metric").type),
        pa.array(rows["entity"]).dictionary_encode().cast(schema.field("entity").type),
        pa.array(range(len(entities)), pa.uint64()),
        *(pa.array(rows["seen"]).cast(schema.field(n).type) for n in ("ts", "start_ts")),
        pa.array([1.5] * len(entities)),
    ]
    return Batch({"samples": pa.table(arrays, schema=schema)})


def entities(stored: Batch) -> list[str]:
    return list(stored.tables["samples"]["entity"].to_pylist())


@dataclass
class Told:
    """A store that keeps what it is told, and fails as it is told to."""

    fail: Callable[[Batch], Exception | None] = lambda _batch: None
    problem: str = ""
    was_open: bool = True
    batches: list[tuple[str, Batch]] = field(default_factory=list)
    tried: list[str] = field(default_factory=list)  # the tokens of all attempts

    def open(self) -> None:
        pass

    def close(self) -> None:
        pass

    def write(self, batch: Batch, token: str) -> None:
        self.tried.append(token)
        problem = self.fail(batch)
        if problem is not None:
            raise problem
        self.batches.append((token, batch))

    @property
    def stored(self) -> list[str]:
        return [name for _, batch in self.batches for name in entities(batch)]


@pytest.fixture
def wal(tmp_path: Path) -> Iterator[Wal]:
    wal = opened(tmp_path, limits(weight=3, age=0))
    yield wal
    wal.log.close()


def append(wal: Wal, *batches: Batch, keys: Sequence[bytes] = ()) -> None:
    for one in batches:
        packed = pack(one, keys)
        wal.log.append(packed.meta, packed.data, one.points)


def writer(wal: Wal, store: Told, lost: Callable[[], None] = lambda: None) -> WriterThread:
    made = WriterThread(wal.log, wal.ledger, store, lost, drain_s=5, retry_s=0.05)  # type: ignore[arg-type]
    made.start()
    return made


def test_a_batch_comes_back_from_its_frame_as_it_was() -> None:
    one, other = batch("a", "b"), batch("c")
    packed = [pack(one, KEYS), pack(other, ())]
    read = [Frame(p.meta, memoryview(b"".join(p.data))) for p in packed]
    assert keys_of(packed[0].meta) == KEYS
    assert keys_of(packed[1].meta) == []
    assert entities(unpack(read)) == ["a", "b", "c"]
    assert unpack(read[:1]).tables["samples"].equals(one.tables["samples"])


def test_frames_of_a_segment_are_one_write_and_its_keys_are_remembered(wal: Wal) -> None:
    append(wal, batch("a"), batch("b", "c"), keys=KEYS)
    store = Told()
    writer(wal, store).stop()
    assert store.stored == ["a", "b", "c"]
    assert len(store.batches) == 1
    assert wal.log.state().segments == 0
    assert len(list((wal.log.folder / "ledger").glob("*.keys"))) == 1


def test_while_the_store_is_away_segments_wait_and_keep_their_order(wal: Wal) -> None:
    away = True
    store = Told(fail=lambda _batch: Unavailable("away") if away else None)
    running = writer(wal, store)
    append(wal, batch("a", "b", "c"), batch("d"))
    wait_until(lambda: running.writes.failures > 0, 10)
    assert store.stored == []
    away = False
    wait_until(lambda: store.stored == ["a", "b", "c", "d"], 10)
    running.stop()


def test_every_attempt_to_write_a_segment_has_a_name_of_its_own(wal: Wal) -> None:
    """A store may know the name of an attempt whose rows it lost, and would skip it ever after."""
    append(wal, batch("a", "b", "c"))
    (segment,) = wal.log.waiting()
    store = Told()
    store.fail = lambda _: Unavailable("the answer was lost") if len(store.tried) == 1 else None
    running = writer(wal, store)
    wait_until(lambda: bool(store.batches), 10)
    running.stop()
    first, second = store.tried
    assert first != second
    assert {name.partition("/")[0] for name in store.tried} == {segment.name}


def test_a_frame_that_the_store_never_takes_is_set_aside_and_its_neighbours_are_stored(
    wal: Wal,
) -> None:
    def poisoned(batch: Batch) -> Exception | None:
        return ValueError("cannot parse") if "poison" in entities(batch) else None

    append(wal, batch("a"), batch("poison"), batch("b"), batch("c", "d", "e"))
    store, lost = Told(fail=poisoned), list[bool]()
    running = writer(wal, store, lambda: lost.append(True))
    wait_until(lambda: wal.log.state().set_aside == 1, 30)
    wait_until(lambda: store.stored == ["a", "b", "c", "d", "e"], 10)
    running.stop()
    assert lost, "what was described in it is to be described again"


def test_a_store_that_takes_nothing_costs_nothing(wal: Wal) -> None:
    """An error that nobody knows to pass may be the store's fault: all that can be told is that no
    part of the segment is taken."""
    broken = True
    store = Told(fail=lambda _batch: ValueError("broken") if broken else None)
    append(wal, batch("a"), batch("b"), batch("c"))
    running = writer(wal, store)
    wait_until(lambda: running.writes.failures > 10, 20)
    assert wal.log.state().set_aside == 0
    broken = False
    wait_until(lambda: store.stored == ["a", "b", "c"], 10)
    running.stop()


def test_what_is_damaged_is_set_aside_and_the_rest_is_stored(wal: Wal) -> None:
    append(wal, batch("a"), batch("b"), batch("c"))
    (segment,) = wal.log.waiting()
    content = bytearray(segment.path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    segment.path.write_bytes(content)
    store, lost = Told(), list[bool]()
    running = writer(wal, store, lambda: lost.append(True))
    wait_until(lambda: wal.log.state().set_aside == 1, 10)
    running.stop()
    assert store.stored == ["a", "c"]
    assert lost
