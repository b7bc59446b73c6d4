"""Members of JSON that may be anything, read one by one: each raises BadMessage."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from novacron_contract.errors import BadMessage


def optional(body: Mapping[str, Any], name: str, read: Any, least: float, most: float) -> Any:
    value = body.get(name)
    return None if value is None else read(name, value, least, most)


def number(name: str, raw: Any, least: float, most: float) -> float:
    is_number = isinstance(raw, int | float) and not isinstance(raw, bool)
    if not is_number or not math.isfinite(raw) or not least <= raw <= most:
        raise BadMessage(f"{name}: expected seconds, {least:g} to {most:g}")
    return float(raw)


def whole(name: str, raw: Any, least: int, most: int) -> int:
    if isinstance(raw, bool) or not isinstance(raw, int) or not least <= raw <= most:
        raise BadMessage(f"{name}: expected {least} to {most}")
    return raw


def flag(name: str, raw: Any) -> bool:
    if not isinstance(raw, bool):
        raise BadMessage(f"{name}: expected true or false")
    return raw


def text(name: str, raw: Any, most: int, *, empty: bool = False) -> str:
    if not isinstance(raw, str) or len(raw) > most or not (raw or empty):
        raise BadMessage(f"{name}: expected text of at most {most} characters")
    if any(0xD800 <= ord(letter) < 0xE000 for letter in raw) or "\0" in raw:
        raise BadMessage(f"{name}: has characters that are none")
    return raw


def only(raw: Mapping[str, Any], allowed: Sequence[str], where: str) -> None:
    for name in raw:
        if name not in allowed:
            raise BadMessage(f"{where}{short(name)}: unknown; allowed: {', '.join(allowed)}")


def short(value: Any) -> str:
    shown = str(value)
    return shown if len(shown) <= 60 else f"{shown[:60]}…"
