"""Passwords: what may be one, and how it is kept: argon2id, with the library's own parameters."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from novacron_contract.errors import BadMessage

SHORTEST = 10  # characters
LONGEST = 1024  # bytes


def check_password(password: str, name: str) -> None:
    """
    Raises:
        BadMessage: it is too short, too long, or the name.
    """
    if len(password) < SHORTEST:
        raise BadMessage(f"password: shorter than {SHORTEST} characters")
    if len(_bytes(password)) > LONGEST:
        raise BadMessage(f"password: longer than {LONGEST} bytes")
    if password.casefold() == name.casefold():
        raise BadMessage("password: it is the name: choose another")


@dataclass(frozen=True)
class Passwords:
    hasher: PasswordHasher = field(default_factory=PasswordHasher)

    def hashed(self, password: str) -> str:
        return self.hasher.hash(_bytes(password))

    def matches(self, kept: str | None, password: str) -> bool:
        """`kept` is None where there is no such user: that takes as long, and is never true."""
        if len(_bytes(password)) > LONGEST:
            return False
        try:
            self.hasher.verify(kept or self._nobody, _bytes(password))
        except (VerificationError, InvalidHashError):
            return False
        return kept is not None

    def is_outdated(self, kept: str) -> bool:
        return self.hasher.check_needs_rehash(kept)

    def prepare(self) -> None:
        """So that the first one with a wrong name waits no longer than others."""
        _ = self._nobody

    @cached_property
    def _nobody(self) -> str:
        return self.hasher.hash(b"nobody has this one")


def _bytes(password: str) -> bytes:
    return password.encode("utf-8", "surrogatepass")
