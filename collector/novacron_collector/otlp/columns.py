"""Arrow and NumPy steps of the fast path that know nothing of OTLP: codes instead of values."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

Codes = NDArray[np.int64]
Ids = NDArray[np.uint64]
_MAX_CODE = 2**62
_SMALLEST_INDEX = 1024


def joined(lists: pa.ListArray) -> pa.BinaryArray:
    """Each list of byte strings as one: the bytes stay where they are. See `lengths`."""
    offsets = _byte_offsets(lists.values)[lists.offsets.to_numpy()]
    return _binary(len(lists), offsets, lists.values.buffers()[2] if len(lists.values) else None)


def lengths(lists: pa.ListArray) -> pa.BinaryArray:
    """Each list's lengths, as bytes. With `joined` it tells [A, B] from [AB]."""
    sizes = np.diff(_byte_offsets(lists.values))
    offsets = lists.offsets.to_numpy() * sizes.itemsize
    return _binary(len(lists), offsets, pa.py_buffer(sizes))


def list_sizes(lists: pa.ListArray) -> Codes:
    sizes: Codes = np.diff(lists.offsets.to_numpy()).astype(np.int64)
    return sizes


def encode(values: pa.Array) -> tuple[Codes, list[Any]]:
    """Values as codes, and what each code stands for."""
    encoded = values.dictionary_encode()
    return _numpy(encoded.indices), encoded.dictionary.to_pylist()


def combine(*columns: Codes) -> tuple[Codes, Codes]:
    """A code for each row of `columns`, and the first row that each code stands for."""
    packed, limit = columns[0], int(columns[0].max(initial=0)) + 1
    for column in columns[1:]:
        span = int(column.max(initial=0)) + 1
        if limit * span > _MAX_CODE:
            packed, limit = _renumbered(packed), len(packed)
        packed, limit = packed * span + column, limit * span
    codes = _renumbered(packed)
    first = np.empty(int(codes.max(initial=-1)) + 1, np.int64)
    first[codes[::-1]] = np.arange(len(codes) - 1, -1, -1)  # of several rows the last one stays
    return codes, first


@dataclass(frozen=True, slots=True)
class Names:
    """A column of names: indices, and what they stand for."""

    indices: NDArray[np.int32]
    names: pa.Array

    def every(self) -> pa.DictionaryArray:
        return pa.DictionaryArray.from_arrays(self.indices, self.names)

    def at(self, rows: Codes) -> pa.DictionaryArray:
        return pa.DictionaryArray.from_arrays(self.indices[rows], self.names)


def named(codes: Codes, names_of: Callable[[list[int]], list[str]]) -> Names:
    """Several codes may have the same name."""
    occurs = np.zeros(int(codes.max(initial=-1)) + 1, np.bool_)
    occurs[codes] = True  # codes count from 0, so that finding them needs no sorting
    distinct = np.flatnonzero(occurs)
    names = names_of(distinct.tolist())
    position = {name: at for at, name in enumerate(dict.fromkeys(names))}
    table = np.zeros(len(occurs), np.int32)
    table[distinct] = [position[name] for name in names]
    return Names(table[codes], pa.array(list(position), pa.string()))


def parents(lists: pa.ListArray) -> Codes:
    """For each item of the flattened lists, the list it is from."""
    return _numpy(pc.list_parent_indices(lists))


def timestamps(millis: NDArray[np.int64]) -> pa.Array:
    return pa.array(millis).view(pa.timestamp("ms", "UTC"))


def per_list(bad: NDArray[np.bool_], lists: pa.ListArray) -> NDArray[np.bool_]:
    """Which lists have an item that is `bad`."""
    before = np.concatenate(([0], np.cumsum(bad)))
    offsets = lists.offsets.to_numpy()
    offsets = offsets - offsets[0]
    return np.asarray(before[offsets[1:]] > before[offsets[:-1]])


class SeriesIndex:
    """From keys to series ids: an open hash table in arrays, so that one step of a search is one
    call for many keys, and most need no second.

    A key's home is the high bits of its product with a number nobody can guess: senders choose
    what becomes a key.
    """

    def __init__(self) -> None:
        self._factor = np.uint64(secrets.randbits(64) | 1)
        self._count = 0
        self._allot(_SMALLEST_INDEX)

    def __len__(self) -> int:
        return self._count

    def find(self, keys: Ids) -> tuple[Ids, NDArray[np.bool_]]:
        """Ids, and which of the keys are known; the id of an unknown one means nothing."""
        at = self._home(keys)
        known = (self._keys[at] == keys) & self._used[at]
        lost = np.flatnonzero(~known)
        while len(lost := lost[self._used[at[lost]]]):
            at[lost] = (at[lost] + 1) & self._mask
            found = (self._keys[at[lost]] == keys[lost]) & self._used[at[lost]]
            known[lost] = found
            lost = lost[~found]
        return self._ids[at], known

    def add(self, keys: Ids, ids: Ids) -> None:
        """Each of `keys` is new, and no two are equal."""
        self._count += len(keys)
        if 2 * self._count > len(self._keys):
            old_keys, old_ids = self._keys[self._used], self._ids[self._used]
            self._allot(1 << (2 * self._count).bit_length())
            self._put(old_keys, old_ids)
        self._put(keys, ids)

    def _allot(self, size: int) -> None:
        self._keys: Ids = np.zeros(size, np.uint64)
        self._ids: Ids = np.zeros(size, np.uint64)
        self._used = np.zeros(size, np.bool_)
        self._shift = np.uint64(64 - (size.bit_length() - 1))
        self._mask = size - 1

    def _home(self, keys: Ids) -> Codes:
        return ((keys * self._factor) >> self._shift).view(np.int64)

    def _put(self, keys: Ids, ids: Ids) -> None:
        at = self._home(keys)
        while len(keys):
            free = ~self._used[at]
            self._keys[at[free]] = keys[free]  # of several that want one place, the last has it
            self._used[at[free]] = True
            placed = free & (self._keys[at] == keys)
            self._ids[at[placed]] = ids[placed]
            keys, ids, at = keys[~placed], ids[~placed], (at[~placed] + 1) & self._mask


def _byte_offsets(values: pa.BinaryArray) -> NDArray[np.int32]:
    if not len(values):
        return np.zeros(1, np.int32)
    every = np.frombuffer(values.buffers()[1], np.int32)
    return every[values.offset : values.offset + len(values) + 1]


def _binary(count: int, offsets: NDArray[Any], data: pa.Buffer | None) -> pa.BinaryArray:
    where = pa.py_buffer(np.ascontiguousarray(offsets, np.int32))
    return pa.BinaryArray.from_buffers(pa.binary(), count, [None, where, data or pa.py_buffer(b"")])


def _renumbered(codes: Codes) -> Codes:
    """The same codes counted from 0, as they first occur."""
    return _numpy(pa.array(codes).dictionary_encode().indices)


def _numpy(values: pa.Array) -> Codes:
    return np.asarray(values.to_numpy(zero_copy_only=False), np.int64)
