"""Values as people read them: 1.5 GiB, 12.3 kB/s, 42 %, 3 min; and times as they write them: 5m."""

from __future__ import annotations

import math
import re

SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
SECONDS["y"] = 365 * SECONDS["d"]

_IEC = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")
_SI = ("", "k", "M", "G", "T", "P", "E")
_SPANS = ((86400.0, "d"), (3600.0, "h"), (60.0, "min"))
_SPAN = re.compile(rf"(\d{{1,9}}(?:\.\d{{1,3}})?)({'|'.join(SECONDS)})?")


def seconds(text: str) -> float:
    """A time such as 30s, 5m, 1.5h or 7d; a bare number is in seconds.

    Raises:
        ValueError: it is none.
    """
    found = _SPAN.fullmatch(text.strip())
    if not found:
        raise ValueError(f"expected a time such as 30s, 5m or 7d, got {text!r}")
    return float(found[1]) * SECONDS[found[2] or "s"]


def readable(value: float | None, unit: str) -> str:
    """A value with its UCUM unit: bytes by 1024, rates by 1000, "1" as per cent; None is "–"."""
    if value is None or math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    match unit:
        case "By":
            return _scaled(value, 1024.0, _IEC)
        case "By/s":
            return f"{_scaled(value, 1000.0, _SI)}B/s"
        case "1":
            return f"{100 * value:.1f} %"
        case "s":
            return duration(value)
        case "Cel":
            return f"{value:.3g} °C"
    name = unit.replace("{", "").replace("}", "")
    return f"{_scaled(value, 1000.0, _SI)}{name}".strip()


def duration(seconds: float) -> str:
    """The two largest parts: "2 d 3 h", "4 min 5 s", "1.5 s", "20 ms"."""
    if seconds < 0:
        return f"-{duration(-seconds)}"
    if 0 < seconds < 0.9995:
        return f"{1000 * seconds:.3g} ms"
    if seconds < 59.95:
        return f"{round(seconds, 1):g} s"
    whole = round(seconds)
    for at, (size, name) in enumerate(_SPANS):
        if whole >= size:
            rest = whole % size
            below, unit = _SPANS[at + 1] if at + 1 < len(_SPANS) else (1.0, "s")
            parts = f"{int(whole // size)} {name}"
            return f"{parts} {int(rest // below)} {unit}" if rest >= below else parts
    return f"{whole} s"


def _scaled(value: float, step: float, names: tuple[str, ...]) -> str:
    size, power = abs(value), 0
    while size >= step * 0.9995 and power < len(names) - 1:
        size, power = size / step, power + 1
    shown = math.copysign(size, value)
    text = f"{shown:.3g}" if size < 1000 else f"{shown:.0f}"
    return f"{text} {names[power]}"
