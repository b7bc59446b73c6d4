"""A thinned line looks like the line: its ends, its spikes and its gaps are there."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from novacron_contract.errors import BadMessage
from novacron_store.telemetry.builder import Answer, Line, Resolution, lines_table, thin

NAN = float("nan")
STEP_MS = 15_000
FIRST_MS = 1_790_000_000_000
VALUES = st.floats(allow_nan=False, allow_infinity=False)
LINES = st.lists(st.one_of(VALUES, VALUES, VALUES, st.just(NAN)), max_size=120)
PIXELS = st.integers(2, 60)


def times(count: int) -> NDArray[np.int64]:
    return FIRST_MS + STEP_MS * np.arange(count, dtype=np.int64)


def thinned(values: list[float], pixels: int) -> list[tuple[int, float]]:
    """Which of the values are left, and what they are."""
    at, left = thin(times(len(values)), np.array(values, dtype=np.float64), pixels)
    return list(zip(((at - FIRST_MS) // STEP_MS).tolist(), left.tolist(), strict=True))


def pieces(values: list[float]) -> list[list[int]]:
    """Places of values that follow one another without a gap."""
    found: list[list[int]] = []
    for place, value in enumerate(values):
        if value != value:
            continue
        if found and found[-1][-1] == place - 1:
            found[-1].append(place)
        else:
            found.append([place])
    return found


def largest_triangles(x: list[float], y: list[float], points: int) -> list[int]:
    """As section 4.2 of the thesis has it, without any haste."""
    every = (len(x) - 2) / (points - 2)
    borders = [int(bucket * every) + 1 for bucket in range(points - 1)] + [len(x)]
    chosen = [0]
    for begin, end, beyond in zip(borders, borders[1:], borders[2:], strict=False):
        a = chosen[-1]
        mean_x = sum(x[end:beyond]) / (beyond - end)
        mean_y = sum(y[end:beyond]) / (beyond - end)
        areas = [
            abs((x[a] - mean_x) * (y[b] - y[a]) - (x[a] - x[b]) * (mean_y - y[a])) / 2
            for b in range(begin, end)
        ]
        chosen.append(begin + areas.index(max(areas)))
    return [*chosen, len(x) - 1]


@given(LINES, PIXELS)
@example([NAN, 1, 2, 3, NAN, 4, 5, 6, 7, NAN, NAN, 8, NAN], 5)
@example([1, NAN] * 30, 7)
def test_what_is_left_was_there_in_that_order(values: list[float], pixels: int) -> None:
    left = thinned(values, pixels)

    assert all(one < two for (one, _), (two, _) in pairwise(left))
    for place, value in left:
        np.testing.assert_equal(value, values[place])


@given(LINES, PIXELS)
@example([0, NAN, 1, 2, NAN, 3] * 20, 2)
def test_there_are_no_more_values_than_pixels_and_a_mark_in_each_gap(
    values: list[float], pixels: int
) -> None:
    left = thinned(values, pixels)

    count = sum(value == value for _, value in left)
    assert count == min(pixels, sum(value == value for value in values))
    assert len(left) - count <= max(0, count - 1)


@given(LINES, PIXELS)
def test_the_first_and_the_last_value_stay(values: list[float], pixels: int) -> None:
    left = thinned(values, pixels)

    there = [place for place, value in enumerate(values) if value == value]
    assert [place for place, _ in left[:1] + left[-1:]] == there[:1] + there[-1:]


@given(LINES, PIXELS)
@example([0, NAN, 1, 2, NAN, NAN, 3] * 20, 9)
def test_values_with_a_gap_between_them_still_have_one_and_others_have_none(
    values: list[float], pixels: int
) -> None:
    left = thinned(values, pixels)

    kept = [index for index, (_, value) in enumerate(left) if value == value]
    for one, two in pairwise(kept):
        between = values[left[one][0] + 1 : left[two][0]]
        assert two - one == (2 if any(value != value for value in between) else 1)


@given(LINES, PIXELS)
@example([1, 2, 3, NAN, 4, NAN, 5, 6, 7, 8, 9, 10], 5)
def test_the_values_beside_each_gap_stay_where_there_is_room(
    values: list[float], pixels: int
) -> None:
    least = sum(min(2, len(piece)) for piece in pieces(values))

    left = {place for place, value in thinned(values, max(pixels, least)) if value == value}

    assert all({piece[0], piece[-1]} <= left for piece in pieces(values))


def test_pieces_get_points_by_their_lengths() -> None:
    values = [*range(100), NAN, *range(300), NAN, 7]

    left = [place for place, value in thinned(values, 45) if value == value]

    assert sum(place < 100 for place in left) == 11
    assert sum(100 < place < 401 for place in left) == 33
    assert 402 in left


def test_a_line_in_more_pieces_than_pixels_is_thinned_from_end_to_end() -> None:
    values = [0.0, NAN] * 5000
    values[6000] = 9.0

    left = thinned(values, 100)

    assert [value for _, value in left[1::2]] == pytest.approx([NAN] * 99, nan_ok=True)
    places = [place for place, _ in left[::2]]
    assert len(places) == 100
    assert 6000 in places
    assert max(two - one for one, two in pairwise(places)) <= 2 * 10_000 / 98 + 2


@given(st.integers(0, 9_999), st.sampled_from([2, -2, 1e9]), st.integers(3, 2000))
def test_a_spike_of_one_sample_among_ten_thousand_survives(
    place: int, height: float, pixels: int
) -> None:
    values = [1.0] * 10_000
    values[place] = height

    assert (place, height) in thinned(values, pixels)


@given(VALUES, st.integers(1, 300), PIXELS)
def test_a_constant_line_stays_constant(value: float, length: int, pixels: int) -> None:
    left = thinned([value] * length, pixels)

    assert {one for _, one in left} == {value}
    assert len(left) == min(length, pixels)


@given(st.integers(0, 2**32), st.integers(4, 500), st.integers(3, 100))
def test_points_are_those_of_the_thesis(seed: int, length: int, pixels: int) -> None:
    pixels = min(pixels, length - 1)
    values = np.random.default_rng(seed).normal(size=length).cumsum().tolist()  # no equal areas

    chosen = [place for place, _ in thinned(values, pixels)]

    assert chosen == largest_triangles(list(map(float, range(length))), values, pixels)


@pytest.mark.parametrize("values", [[], [NAN], [NAN, NAN, NAN]])
def test_a_line_without_values_has_none(values: list[float]) -> None:
    assert thinned(values, 10) == []


def test_a_line_needs_two_pixels() -> None:
    with pytest.raises(BadMessage, match="1 pixels: expected 2 or more"):
        thinned([1, 2, 3], 1)


def test_each_line_of_an_answer_is_thinned_by_itself() -> None:
    values = np.array([[NAN, 1, 1, 1, 5, 1], [2, NAN, NAN, 3, 3, 3]])
    labels = [{"entity": "a"}, {"entity": "b"}]

    one, two = Answer(labels, times(6), values, Resolution.RAW).thinned(3)

    assert (one.labels, two.labels) == tuple(labels)
    assert one.times.tolist() == times(6)[[1, 4, 5]].tolist()
    assert one.values.tolist() == [1, 5, 1]
    assert two.times.tolist() == times(6)[[0, 1, 3, 5]].tolist()
    np.testing.assert_equal(two.values, [2, NAN, 3, 3])


def test_lines_are_a_table_with_null_for_a_gap() -> None:
    lines = [Line({"entity": "a"}, times(3), np.array([1, NAN, 2])),
             Line({}, times(1), np.array([3.0]))]  # fmt: skip

    table = lines_table(lines)

    assert table["labels"].to_pylist() == [[("entity", "a")], []]
    assert table["values"].to_pylist() == [[1, None, 2], [3]]
    assert [len(one) for one in table["times"].to_pylist()] == [3, 1]
    assert lines_table([]).schema == table.schema
