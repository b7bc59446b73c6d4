"""Who may send to the ports that any sender of OTLP or remote write uses."""

from __future__ import annotations

from typing import Protocol

from novacron_contract.errors import Unauthenticated

_HOW = "send `Authorization: Bearer nci_…`: `novacron ingest-token create` makes one"


class Senders(Protocol):
    def holds(self, secret: str) -> bool:
        """Whether it is the secret of an ingest token that may be used now."""


class Nobody:
    """There are no tokens."""

    def holds(self, secret: str) -> bool:
        return False


class Door:
    """`required`: beyond this machine. What is shown is checked wherever it is shown: who has a
    token that was revoked is to learn of it."""

    def __init__(self, senders: Senders, *, required: bool) -> None:
        self._senders = senders
        self._required = required

    def check(self, authorization: str | None) -> None:
        """
        Raises:
            Unauthenticated: a token is needed or wrong.
        """
        kind, _, secret = (authorization or "").partition(" ")
        if kind.lower() == "bearer":
            if not self._senders.holds(secret.strip()):
                raise Unauthenticated(f"this token does not hold here: {_HOW}")
        elif self._required:
            raise Unauthenticated(f"a token is needed here: {_HOW}")


OPEN = Door(Nobody(), required=False)
