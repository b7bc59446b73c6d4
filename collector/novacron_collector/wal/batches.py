"""A batch as a frame of the log, and back: Arrow tables, and the keys of their requests."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import orjson
import pyarrow as pa

from novacron_collector.wal.frames import Frame
from novacron_store.telemetry.batch import Batch

KEY_BYTES = 16


@dataclass(frozen=True, slots=True)
class Packed:
    """A frame's two parts. `meta`: the length of a JSON head, the head, and the requests' keys."""

    meta: bytes
    data: list[memoryview]


def pack(batch: Batch, keys: Iterable[bytes]) -> Packed:
    tables = {name: _stream(table) for name, table in batch.tables.items()}
    head = orjson.dumps({name: len(stream) for name, stream in tables.items()})
    meta = b"".join([len(head).to_bytes(4, "little"), head, *keys])
    return Packed(meta, list(tables.values()))


def keys_of(meta: bytes) -> list[bytes]:
    start = 4 + int.from_bytes(meta[:4], "little")
    return [meta[at : at + KEY_BYTES] for at in range(start, len(meta), KEY_BYTES)]


def unpack(frames: Sequence[Frame]) -> Batch:
    """All frames as one write; equal frames give an equal write."""
    parts: dict[str, list[pa.Table]] = {}
    for frame in frames:
        at = 0
        for name, length in _lengths(frame.meta).items():
            stream = pa.py_buffer(frame.data[at : at + length])
            parts.setdefault(name, []).append(pa.ipc.open_stream(stream).read_all())
            at += length
    whole = {name: pa.concat_tables(tables) for name, tables in parts.items()}
    return Batch({name: table.unify_dictionaries() for name, table in whole.items()})


def _lengths(meta: bytes) -> dict[str, int]:
    return dict(orjson.loads(meta[4 : 4 + int.from_bytes(meta[:4], "little")]))


def _stream(table: pa.Table) -> memoryview:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return memoryview(sink.getvalue())
