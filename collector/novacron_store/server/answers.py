"""Answers as they go out: the pieces chDB hands out, joined into one document."""

from __future__ import annotations

import struct
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass, field

from novacron_store.server.engine import Counts, Handle
from novacron_store.server.statement import Statement

_END_OF_STREAM = b"\xff\xff\xff\xff\x00\x00\x00\x00"


@dataclass(frozen=True, slots=True)
class Answer:
    """`head` is there already; `rest`, if there is more, is computed while it is being sent."""

    format: str
    head: bytes
    counts: Counts = field(default_factory=Counts)
    rest: Generator[bytes] | None = None


def answer(
    handle: Handle, statement: Statement, parameters: Mapping[str, str], *, whole: bool
) -> Answer:
    """Run a statement. An error in the first two pieces is raised here, not while sending; any
    error, if the `whole` answer is wanted, which costs less where it is small."""
    if statement.data is not None:
        return Answer("", b"", handle.insert(statement.text, statement.format, statement.data))
    if whole or not statement.streams:
        every, counts = handle.run(statement.text, statement.format, parameters)
        return Answer(statement.format, every, counts)
    pieces = handle.stream(statement.text, statement.format, parameters)
    if statement.format == "ArrowStream":
        pieces = _one_arrow_stream(pieces)
    first, second = next(pieces, None), next(pieces, None)
    if first is None and statement.format == "ArrowStream":  # no rows, and still a schema
        every, counts = handle.run(statement.text, statement.format, parameters)
        return Answer(statement.format, every, counts)
    head = (first or b"") + (second or b"")
    return Answer(statement.format, head, rest=None if second is None else pieces)


def _one_arrow_stream(pieces: Iterator[bytes]) -> Generator[bytes]:
    """Arrow streams of one schema as one stream: one schema message, one end mark."""
    first = next(pieces, None)
    if first is None:
        return
    held = first.removesuffix(_END_OF_STREAM)
    for piece in pieces:
        yield held
        (metadata,) = struct.unpack_from("<i", piece, 4)  # the schema message has no body
        held = piece[8 + metadata :].removesuffix(_END_OF_STREAM)
    yield held + _END_OF_STREAM
