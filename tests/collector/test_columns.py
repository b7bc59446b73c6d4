"""The index of series finds what was added to it and nothing else, whatever the keys are."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from novacron_collector.otlp.columns import Ids, SeriesIndex

NUMBERS = st.integers(0, 2**64 - 1)
PACKED = st.builds(lambda a, b, c: a << 42 | b << 24 | c, *[st.integers(0, 9)] * 3)
KEYS = st.one_of(NUMBERS, PACKED)


@given(added=st.lists(st.sets(KEYS, max_size=700), max_size=6), others=st.lists(KEYS))
def test_index_is_what_a_dictionary_would_be(added: list[set[int]], others: list[int]) -> None:
    index, expected = SeriesIndex(), dict[int, int]()
    for keys in added:
        fresh = {key: key ^ len(expected) for key in keys if key not in expected}
        expected |= fresh
        index.add(np.array([*fresh], np.uint64), np.array([*fresh.values()], np.uint64))
    wanted = [*expected, *others, *expected]

    ids, known = index.find(np.array(wanted, np.uint64))

    assert len(index) == len(expected)
    assert known.tolist() == [key in expected for key in wanted]
    assert ids[known].tolist() == [expected[key] for key in wanted if key in expected]


def test_index_takes_a_hundred_thousand_series_that_differ_in_a_few_bits() -> None:
    packed = [a << 42 | b for a in range(400) for b in range(250)]
    keys: Ids = np.array(packed, np.uint64)
    index = SeriesIndex()
    for first in range(0, len(keys), 1000):
        some = keys[first : first + 1000]
        index.add(some, some + np.uint64(1))

    ids, known = index.find(keys)

    assert known.all()
    assert (ids == keys + np.uint64(1)).all()
