"""The chain of the audit: every row holds the SHA-256 of its own content and of the hash before.

Who may write the database may write a whole new chain: whoever kept an earlier head finds that.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from typing import Any

START = "0" * 64  # the hash before the first row


@dataclass(frozen=True, slots=True)
class Row:
    """As it is stored; `detail` is JSON."""

    seq: int
    at: datetime
    actor_kind: str
    actor_id: str
    actor_name: str
    token_id: str
    action: str
    target: str
    source: str
    reason: str
    outcome: str
    detail: str
    previous: str
    hash: str = ""

    def sealed(self) -> str:
        """The hash that it must have."""
        content: dict[str, Any] = {name: getattr(self, name) for name in _SEALED}
        content["at"] = self.at.astimezone(UTC).isoformat(timespec="microseconds")
        canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode("ascii")).hexdigest()

    def columns(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in _COLUMNS}


_COLUMNS = tuple(of.name for of in fields(Row))
_SEALED = tuple(name for name in _COLUMNS if name != "hash")


@dataclass(frozen=True, slots=True)
class Head:
    """The last row of a chain."""

    seq: int = 0
    hash: str = START

    def __str__(self) -> str:
        return f"{self.seq}:{self.hash}"


@dataclass(frozen=True, slots=True)
class Verified:
    """`bad_seq` is the first row that is not as it was written; None: all are. `head` is the last
    one that is."""

    head: Head
    bad_seq: int | None = None
    problem: str = ""


@dataclass
class Walk:
    """Goes along the rows in their order, and stops at the first that is wrong. `remembered` is the
    head of an earlier walk: it must be there still."""

    remembered: Head | None = None
    head: Head = field(default_factory=Head)
    bad: Verified | None = None

    def pass_by(self, rows: Iterable[Row]) -> bool:
        """False: what was found is enough."""
        for row in rows:
            problem = self._problem(row)
            if problem:
                self.bad = Verified(self.head, self.head.seq + 1, problem)
                return False
            self.head = Head(row.seq, row.hash)
        return True

    def end(self) -> Verified:
        """What is known when there are no more rows."""
        if self.bad is not None:
            return self.bad
        kept = self.remembered
        if kept is not None and kept.seq > self.head.seq:
            problem = f"rows {self.head.seq + 1} to {kept.seq} were there and are gone"
            return Verified(self.head, self.head.seq + 1, problem)
        return Verified(self.head)

    def _problem(self, row: Row) -> str:
        expected = self.head.seq + 1
        if row.seq != expected:
            return f"row {expected} is missing" if row.seq > expected else f"row {row.seq} is new"
        if row.previous != self.head.hash:
            return f"row {row.seq} does not follow the row before it"
        if row.hash != row.sealed():
            return f"row {row.seq} was changed"
        kept = self.remembered
        if kept is not None and row.seq == kept.seq and row.hash != kept.hash:
            return f"row {row.seq} is another one than it was: the chain was written anew"
        return ""
