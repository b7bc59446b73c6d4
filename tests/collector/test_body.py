"""A request's body is inflated as far as the limit and not a byte further, whatever its form."""

from __future__ import annotations

import asyncio
import gzip
import random

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from novacron_collector.admission import Place, Room
from novacron_collector.receivers import body
from novacron_contract.errors import BadMessage, TooLarge

MEMBERS = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 400_000), st.integers(0, 9)), min_size=1, max_size=3
)


def place() -> Place:
    return Place(Room(max_bytes=10**9, max_requests=1))


def inflate(sent: bytes, into: Place, limit: int) -> bytes:
    return asyncio.run(body.inflate(sent, into, limit))


def content(kind: int, size: int) -> bytes:
    """Of one letter, of text, of noise, and of noise that repeats far away."""
    noise = random.Random(size).randbytes
    match kind:
        case 0:
            return b"\0" * size
        case 1:
            return b"vm.cpu.time vm-00001 " * (size // 21)
        case 2:
            return noise(size)
    return noise(20_000) * (size // 20_000)


@given(members=MEMBERS)
@example(members=[(0, 0, 9), (0, 400_000, 9)])
def test_what_was_compressed_comes_out_up_to_the_limit(members: list[tuple[int, int, int]]) -> None:
    parts = [content(kind, size) for kind, size, _ in members]
    whole = b"".join(parts)
    levels = [level for *_, level in members]
    sent = b"".join(gzip.compress(p, level) for p, level in zip(parts, levels, strict=True))
    room = place()

    assert inflate(sent, room, len(whole)) == whole
    assert room.bytes == len(whole), "and all of it takes its place"
    if whole:
        with pytest.raises(TooLarge):
            inflate(sent, place(), len(whole) - 1)


@given(size=st.integers(0, 300_000), cut=st.integers(1, 30))
def test_a_body_that_ends_too_early_is_refused(size: int, cut: int) -> None:
    sent = gzip.compress(content(1, size))[:-cut]

    with pytest.raises(BadMessage, match=r"ends too early|not gzip"):
        inflate(sent or b"x", place(), 10**6)


@given(at=st.integers(0, 7), bit=st.integers(0, 7))
def test_a_wrong_checksum_or_length_is_refused(at: int, bit: int) -> None:
    sent = bytearray(gzip.compress(content(1, 50_000)))
    sent[at - 8] ^= 1 << bit

    with pytest.raises(BadMessage, match="not gzip"):
        inflate(bytes(sent), place(), 10**6)
