"""What a request's query string may say: typed, limited, and explained when it is wrong."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TypeVar

from flask import request

from novacron_contract.errors import BadMessage
from novacron_contract.units import SECONDS

MAX_TEXT = 512
Choice = TypeVar("Choice", bound=StrEnum)

_AGO = re.compile(rf"(?:now)?-(\d{{1,9}})({'|'.join(SECONDS)})")


@dataclass(frozen=True, slots=True)
class Page:
    limit: int
    offset: int


def allow(
    names: Collection[str], *, repeatable: Collection[str] = (), prefix: str | None = None
) -> None:
    """
    Raises:
        BadMessage: the query string has another name, or one that is not repeatable twice.
    """
    for name, values in request.args.lists():
        if name in repeatable:
            continue
        if name not in names and not (prefix and name.startswith(prefix)):
            shown = [*sorted([*names, *repeatable]), *([f"{prefix}NAME"] if prefix else [])]
            raise BadMessage(f"{_short(name)}: unknown; allowed: {', '.join(shown) or 'nothing'}")
        if len(values) > 1:
            raise BadMessage(f"{_short(name)}: given {len(values)} times")


def text(name: str, default: str | None = None) -> str | None:
    value = request.args.get(name)
    if value is None or value == "":
        return default
    return _limited(name, value)


def every(name: str, most: int) -> list[str]:
    """The values of a name that may be given several times.

    Raises:
        BadMessage: there are more than `most`, or an empty one.
    """
    values = request.args.getlist(name)
    if len(values) > most:
        raise BadMessage(f"{name}: given {len(values)} times, expected {most} or fewer")
    if "" in values:
        raise BadMessage(f"{name}: empty")
    return [_limited(name, value) for value in values]


def required(name: str) -> str:
    value = text(name)
    if value is None:
        raise BadMessage(f"{name}: missing")
    return value


def whole(name: str, default: int, *, minimum: int, maximum: int) -> int:
    value = text(name)
    if value is None:
        return default
    if not re.fullmatch(r"-?[0-9]{1,9}", value) or not minimum <= int(value) <= maximum:
        raise BadMessage(f"{name}: expected {minimum} to {maximum}, got {_short(value)!r}")
    return int(value)


def choice(name: str, allowed: Sequence[str]) -> str | None:
    value = text(name)
    if value is not None and value not in allowed:
        raise BadMessage(f"{name}: expected one of {', '.join(allowed)}, got {_short(value)!r}")
    return value


def page() -> Page:
    limit = whole("limit", 500, minimum=1, maximum=5000)
    return Page(limit, whole("offset", 0, minimum=0, maximum=10_000_000))


def moment(name: str, default: str, now: datetime) -> datetime:
    """RFC 3339 ("2026-11-24T12:00:00Z"), "now", or relative to now ("-90s", "-1h", "-7d")."""
    return moment_of(name, text(name) or default, now)


def moment_of(name: str, value: object, now: datetime) -> datetime:
    """The same of a value that came otherwise."""
    if not isinstance(value, str) or len(value) > MAX_TEXT:
        raise BadMessage(f"{name}: expected a time such as 2026-11-24T12:00:00Z, now, -15m or -7d")
    if value == "now":
        return now
    if ago := _AGO.fullmatch(value):
        try:
            return now - timedelta(seconds=int(ago[1]) * SECONDS[ago[2]])
        except OverflowError as err:
            raise BadMessage(f"{name}: too long ago: {value}") from err
    return _absolute(name, value)


def _absolute(name: str, value: str) -> datetime:
    try:
        # A "+" that the sender did not encode arrives as a space.
        parsed = datetime.fromisoformat(value.replace(" ", "+") if "T" in value else value)
    except ValueError:
        parsed = None
    if parsed is None or parsed.tzinfo is None or not 1970 < parsed.year < 2100:
        raise BadMessage(
            f"{name}: expected a time such as 2026-11-24T12:00:00Z, now, -15m or -7d, "
            f"got {_short(value)!r}"
        )
    return parsed.astimezone(UTC)


def _limited(name: str, value: str) -> str:
    if len(value) > MAX_TEXT:
        raise BadMessage(f"{name}: longer than {MAX_TEXT} characters")
    return value


def _short(value: str) -> str:
    return value if len(value) <= 60 else f"{value[:60]}…"
