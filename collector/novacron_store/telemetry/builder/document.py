"""Expressions as JSON documents, as the API takes them.

    {"aggregate": "sum", "by": ["team"], "of":
        {"select": "vm.network.io", "over": "rate", "window": 300, "where":
            {"all": [{"label": "network.io.direction", "op": "=", "value": "receive"},
                     {"not": {"label": "team", "op": "=~", "value": "test.*"}}]}}}

Others are {"histogram_quantile": 0.95, "select": …, "by": ["entity"]}, {"smooth": 5, "of": …},
{"op": "/", "left": …, "right": …, "on": ["entity"]} and numbers.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from enum import StrEnum
from typing import Any as Whatever
from typing import TypeVar

from novacron_contract.errors import BadMessage
from novacron_store.telemetry.builder.expressions import (
    Aggregate,
    Binary,
    Expression,
    HistogramQuantile,
    How,
    Over,
    Scalar,
    Select,
    Smooth,
)
from novacron_store.telemetry.builder.filters import EVERY, All, Any, Filter, Label, Not

MAX_DEPTH = 20
MAX_TEXT = 4096
_WINDOWS = ("where", "window", "offset")
Kind = TypeVar("Kind", bound=StrEnum)


def expression(document: Whatever, depth: int = 0) -> Expression:
    """
    Raises:
        BadMessage: not such a document; the message says what is wrong with it.
    """
    if depth > MAX_DEPTH:
        raise BadMessage(f"expressions are nested deeper than {MAX_DEPTH}")
    if _is_number(document):
        return Scalar(float(document))
    match document:
        case {"histogram_quantile": share, "select": str() | list() as metric, **rest}:
            _only(rest, ("by", *_WINDOWS))
            return HistogramQuantile(
                _metrics(metric),
                _number("histogram_quantile", share),
                _where(rest),
                _names("by", rest.get("by", [])),
                *_window_and_offset(rest),
            )
        case {"select": str() | list() as metric, **rest}:
            _only(rest, ("over", *_WINDOWS, "argument"))
            return Select(
                _metrics(metric),
                _choice("over", rest.get("over", Over.AVG), Over),
                _where(rest),
                *_window_and_offset(rest),
                _number("argument", rest.get("argument", 0.5)),
            )
        case {"aggregate": how, "of": inner, **rest}:
            _only(rest, ("by", "argument"))
            return Aggregate(
                _choice("aggregate", how, How),
                expression(inner, depth + 1),
                _names("by", rest.get("by", [])),
                _number("argument", rest.get("argument", 0.5)),
            )
        case {"smooth": int(points), "of": inner, **rest}:
            _only(rest, ())
            return Smooth(expression(inner, depth + 1), points)
        case {"op": str(op), "left": left, "right": right, **rest}:
            _only(rest, ("on",))
            on = _names("on", rest["on"]) if "on" in rest else None
            return Binary(op, expression(left, depth + 1), expression(right, depth + 1), on)
        case _:
            raise BadMessage(
                "expected an expression: a number, or an object with select, with "
                "histogram_quantile and select, with aggregate and of, with smooth and of, or "
                "with op, left and right"
            )


def condition(document: Whatever, depth: int = 0) -> Filter:
    """
    Raises:
        BadMessage: not such a document.
    """
    if depth > MAX_DEPTH:
        raise BadMessage(f"conditions are nested deeper than {MAX_DEPTH}")
    match document:
        case {"label": str(name), "value": str(value), **rest}:
            _only(rest, ("op",))
            return Label(_text("label", name), str(rest.get("op", "=")), value)
        case {"not": inner, **rest}:
            _only(rest, ())
            return Not(condition(inner, depth + 1))
        case {"all": list(parts), **rest}:
            _only(rest, ())
            return All(tuple(condition(part, depth + 1) for part in parts))
        case {"any": list(parts), **rest}:
            _only(rest, ())
            return Any(tuple(condition(part, depth + 1) for part in parts))
        case _:
            raise BadMessage(
                "expected a condition: an object with label, op and value, with all, any or not"
            )


def _metrics(select: str | list[Whatever]) -> str | tuple[str, ...]:
    return _text("select", select) if isinstance(select, str) else _names("select", select)


def _where(rest: Mapping[Whatever, Whatever]) -> Filter:
    return condition(rest["where"]) if "where" in rest else EVERY


def _window_and_offset(rest: Mapping[Whatever, Whatever]) -> tuple[float | None, float]:
    window = rest.get("window")
    offset = _number("offset", rest.get("offset", 0))
    return None if window is None else _number("window", window), offset


def _only(rest: Mapping[Whatever, Whatever], allowed: Collection[str]) -> None:
    unknown = sorted(str(name) for name in set(rest) - set(allowed))
    if unknown:
        raise BadMessage(f"{unknown[0][:60]}: unknown; allowed: {', '.join(allowed) or 'nothing'}")


def _choice(name: str, value: Whatever, kind: type[Kind]) -> Kind:
    if value not in list(kind):
        raise BadMessage(f"{name}: expected one of {', '.join(kind)}")
    return kind(value)


def _number(name: str, value: Whatever) -> float:
    if not _is_number(value):
        raise BadMessage(f"{name}: expected a number")
    return float(value)


def _is_number(value: Whatever) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _names(name: str, value: Whatever) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise BadMessage(f"{name}: expected a list of labels")
    return tuple(_text(name, one) for one in value)


def _text(name: str, value: str) -> str:
    if not 1 <= len(value) <= MAX_TEXT:
        raise BadMessage(f"{name}: expected 1 to {MAX_TEXT} characters")
    return value
