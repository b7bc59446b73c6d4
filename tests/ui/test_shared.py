"""One answer for everybody who asks at about the same time."""

from __future__ import annotations

import threading
from itertools import count

import pytest

from live_feed import wait_until
from novacron_contract.errors import Unavailable
from novacron_ui.query.shared import Shared


@pytest.fixture
def numbers() -> Shared[int]:
    """Each answer is the next number."""
    numbers = count(1)
    return Shared(lambda: next(numbers))


def test_an_answer_serves_until_it_is_too_old(numbers: Shared[int]) -> None:
    assert [numbers.get(60), numbers.get(60), numbers.get(0)] == [1, 1, 2]


def test_who_waits_for_a_slow_answer_goes_on_without_it() -> None:
    store = threading.Event()
    slow = Shared(store.wait)

    assert slow.soon(60, 0.01) is None
    store.set()
    assert slow.soon(60, 10) is True


def test_a_failure_is_told_and_not_kept() -> None:
    is_away = [True]

    def ask() -> str:
        if is_away:
            raise Unavailable(f"away: {is_away.pop()}")
        return "here"

    shared = Shared(ask)
    with pytest.raises(Unavailable):
        shared.get(60)
    assert shared.get(60) == "here"


def test_an_answer_is_renewed_while_somebody_wants_it(numbers: Shared[int]) -> None:
    numbers.get(60)
    numbers.renew(0, wanted_s=60)

    wait_until(lambda: numbers.soon(60, 0) == 2)


def test_nobody_asks_the_store_when_nobody_looks(numbers: Shared[int]) -> None:
    numbers.get(60)
    numbers.renew(0, wanted_s=0)

    assert numbers.get(60) == 1
