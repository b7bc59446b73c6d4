"""Many at once: a login costs memory and time, and strangers may not take all of either."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Literal

import pytest
from argon2 import PasswordHasher
from sqlalchemy import Engine

from novacron_collector.access.attempts import Attempts, network_of
from novacron_collector.access.login import Login
from novacron_collector.access.settings import AccessSettings
from novacron_contract.access import SYSTEM
from novacron_contract.errors import ConfigError, TooMany, Unauthenticated
from novacron_store.state import Caller, Users
from novacron_store.state.passwords import Passwords
from principals import Clock


def wrong(attempts: Attempts, name: str, source: str) -> None:
    with suppress(Unauthenticated), attempts.attempt(name, source):
        raise Unauthenticated("wrong")


def test_what_is_kept_of_strangers_is_bounded() -> None:
    attempts = Attempts(60, Clock().monotonic, most=100)
    for number in range(1000):
        wrong(attempts, f"name-{number}", f"10.0.{number // 250}.{number % 250}")
    assert len(attempts) == 100


def test_a_proxy_that_makes_up_addresses_gets_no_more_than_fifty_guesses() -> None:
    attempts = Attempts(1000, Clock().monotonic)
    for number in range(50):
        with suppress(Unauthenticated), attempts.attempt("ann", f"10.0.0.{number}", "127.0.0.1"):
            raise Unauthenticated("wrong")
    told = pytest.raises(TooMany, match="too many wrong passwords")
    with told, attempts.attempt("ann", "10.0.1.1", "127.0.0.1"):
        pass
    for name, source, via in (("ben", "10.0.1.1", "127.0.0.1"), ("ann", "10.0.1.1", "")):
        with attempts.attempt(name, source, via):
            pass


def test_guesses_at_the_same_time_are_no_more_than_one_after_another() -> None:
    attempts = Attempts(1000, Clock().monotonic)
    guessing, tried = threading.Barrier(5), []

    def guess(number: int) -> str:
        try:
            with attempts.attempt("ann", "::1"):
                tried.append(number)
                if len(tried) <= 5:
                    guessing.wait(10)
                raise Unauthenticated("wrong")
        except TooMany as err:
            return str(err)
        except Unauthenticated:
            return "wrong"

    with ThreadPoolExecutor(5) as pool:
        first = list(pool.map(guess, range(5)))
    assert first == ["wrong"] * 5
    assert "too many wrong passwords" in guess(6)


@pytest.mark.parametrize(
    ("source", "network"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("::ffff:10.0.0.1", "10.0.0.1"),
        ("2001:db8::1", "2001:db8::/64"),
        ("2001:db8::ffff:2", "2001:db8::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
        ("x" * 1000, "x" * 64),
    ],
)
def test_who_has_many_addresses_of_a_network_is_one_source(source: str, network: str) -> None:
    assert network_of(source) == network


class Watched(PasswordHasher):
    """Counts how many are verified at a time."""

    def __init__(self) -> None:
        super().__init__(time_cost=1, memory_cost=1024, parallelism=1)
        self.lock = threading.Lock()
        self.now = self.most = 0

    def verify(self, hash: str | bytes, password: str | bytes) -> Literal[True]:
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)
        try:
            return super().verify(hash, password)
        finally:
            with self.lock:
                self.now -= 1


def test_a_hundred_who_log_in_at_once_all_get_in_two_at_a_time(engine: Engine) -> None:
    users, watched = Users(engine), Watched()
    passwords = Passwords(watched)
    for number in range(10):
        password = passwords.hashed(f"the password of {number}")
        users.add(f"user-{number}", password, (), Caller(SYSTEM))
    login = Login(users, passwords, Attempts(100_000))
    turned_away = []

    def enter(number: int) -> str:
        which = number % 10
        while True:
            try:
                return login.check(f"user-{which}", f"the password of {which}", "::1").name
            except TooMany:
                turned_away.append(number)

    with ThreadPoolExecutor(100) as pool:
        entered = list(pool.map(enter, range(100)))

    assert entered == [f"user-{number % 10}" for number in range(100)]
    assert watched.most <= 2
    assert turned_away, "they were to come at once"


def test_anonymous_is_for_this_machine_alone() -> None:
    assert AccessSettings().lets_anonymous_in(on_loopback=True)
    assert not AccessSettings().lets_anonymous_in(on_loopback=False)
    assert not AccessSettings(anonymous=False).lets_anonymous_in(on_loopback=True)
    with pytest.raises(ConfigError, match="access: anonymous"):
        AccessSettings(anonymous=True).lets_anonymous_in(on_loopback=False)
