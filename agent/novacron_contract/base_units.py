"""One unit for each quantity: milliseconds become seconds, KiBy bytes, per cent shares of 1.

Units are UCUM's, as OpenTelemetry has them: https://ucum.org
"""

from __future__ import annotations

_METRIC = {"n": 1e-9, "u": 1e-6, "m": 1e-3, "": 1.0, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12,
           "P": 1e15, "E": 1e18}  # fmt: skip
_LARGE = {prefix: factor for prefix, factor in _METRIC.items() if factor >= 1}
_BINARY = {f"{prefix}i": 1024.0**power for power, prefix in enumerate("KMGTPE", 1)}
_TIMES = {"min": 60.0, "h": 3600.0, "d": 86400.0, "wk": 604800.0}

_BASES: dict[str, tuple[str, float]] = {
    "1": ("1", 1.0),
    "%": ("1", 0.01),
    **{name: ("s", factor) for name, factor in _TIMES.items()},
    **{f"{p}{of}": (of, f) for of in ("s", "Hz", "W", "J", "V", "A") for p, f in _METRIC.items()},
    **{f"{p}{of}": (of, f) for of in ("By", "bit") for p, f in (_LARGE | _BINARY).items()},
}


def base_unit(unit: str) -> tuple[str, float]:
    """The base unit, and by what a value in `unit` is multiplied to be in it.

    `ms` is ("s", 0.001), `MiBy/min` is ("By/s", 17476.27), `%` is ("1", 0.01). Annotations such as
    `{packet}` stay, and so do units that are unknown here or have a zero of their own, such as
    `Cel`: their factor is 1.
    """
    above, *below = unit.split("/")
    if not below:
        return _simple(unit) or (unit, 1.0)
    top, bottom = _simple(above or "1"), _simple(below[0])
    if len(below) > 1 or top is None or bottom is None:
        return unit, 1.0
    factor = top[1] / bottom[1]
    if top[0] == bottom[0]:
        return "1", factor
    return (top[0] if bottom[0] == "1" else f"{top[0]}/{bottom[0]}"), factor


def per_second(base: str) -> str:
    """The unit of what a value in a base unit does in a second: `By` becomes `By/s`, `s` is `1`."""
    if base == "s":
        return "1"
    return f"{base}2" if base.endswith("/s") else f"{base or '1'}/s"


def _simple(unit: str) -> tuple[str, float] | None:
    """Of a unit that is no quotient; None where it is unknown."""
    if unit.startswith("{") and unit.find("}") == len(unit) - 1:
        return unit, 1.0
    return _BASES.get(unit)
