"""A name and a password: right or wrong, and in no other way."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from novacron_collector.access.attempts import Attempts
from novacron_contract.errors import TooMany, Unauthenticated
from novacron_store.state import User, Users
from novacron_store.state.passwords import Passwords

_AT_ONCE = 2  # each takes 64 MiB and a core for a tenth of a second
_WAITING = 3  # each holds a thread of the API that others need
_PATIENCE_S = 10.0


class Login:
    def __init__(self, users: Users, passwords: Passwords, attempts: Attempts) -> None:
        self._users, self._attempts = users, attempts
        self.passwords = passwords
        passwords.prepare()
        self._working = threading.BoundedSemaphore(_AT_ONCE)
        self._room = threading.BoundedSemaphore(_AT_ONCE + _WAITING)

    def check(self, name: str, password: str, source: str, via: str = "") -> User:
        """`via`: the proxy by whose word `source` is.

        Raises:
            Unauthenticated: the name or the password is wrong; of who is disabled, too.
            TooMany: it was tried too often, or too many are tried now.
        """
        with self._working_on_one(), self._attempts.attempt(name, source, via):
            kept = self._users.password(name)
            if not self.passwords.matches(kept, password) or kept is None:
                raise Unauthenticated("the name or the password is wrong")
            if self.passwords.is_outdated(kept):
                self._users.keep_password(name, self.passwords.hashed(password))
        return self._users.user(name)

    def hashed(self, password: str) -> str:
        """
        Raises:
            TooMany: too many passwords are being tried now.
        """
        with self._working_on_one():
            return self.passwords.hashed(password)

    @contextmanager
    def _working_on_one(self) -> Iterator[None]:
        if not self._room.acquire(blocking=False):
            raise TooMany("too many log in at this moment: try again")
        try:
            if not self._working.acquire(timeout=_PATIENCE_S):
                raise TooMany("too many log in at this moment: try again")
            try:
                yield
            finally:
                self._working.release()
        finally:
            self._room.release()
