"""What a check found: one line, and what to do where it is not well."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    OK = "ok"
    WARN = "warn"
    FAIL = "FAIL"


@dataclass(frozen=True, slots=True)
class Finding:
    """`why` it is so; `fix`: what to do about it, empty where nothing is to be done."""

    level: Level
    what: str
    why: str
    fix: str = ""

    def __str__(self) -> str:
        told = f"{self.level:<5} {self.what}: {self.why}"
        return f"{told}; {self.fix}" if self.fix else told


def ok(what: str, why: str) -> Finding:
    return Finding(Level.OK, what, why)


def warn(what: str, why: str, fix: str) -> Finding:
    return Finding(Level.WARN, what, why, fix)


def fail(what: str, why: str, fix: str) -> Finding:
    return Finding(Level.FAIL, what, why, fix)
