"""Shapes of values: each reads what somebody wrote, and says the same as JSON schema.

What is read is limited in every size, and never deeper than the shapes themselves are.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from novacron_contract.errors import BadMessage

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


class Shape(Protocol):
    def parse(self, raw: object, path: str) -> Any:
        """
        Raises:
            BadMessage: `path` is not of this shape; it says what is.
        """

    def schema(self) -> dict[str, Any]:
        """JSON schema (draft 2020-12)."""


def member(shape: Shape, doc: str, default: Any = dataclasses.MISSING) -> Any:
    """A field of a dataclass that is read from a mapping; without a default it is required."""
    metadata = {"shape": shape, "doc": doc}
    if isinstance(default, Mapping):
        return field(default_factory=lambda: default, metadata=metadata)
    return field(default=default, metadata=metadata)


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """At most so many bytes of UTF-8; on one line, unless it `has_lines`."""

    most: int
    least: int = 1
    pattern: str = ""
    allowed: str = ""
    has_lines: bool = False

    def parse(self, raw: object, path: str) -> str:
        if not isinstance(raw, str) or not self._is_allowed(raw):
            raise BadMessage(f"{path}: expected {self._expected()}")
        return raw

    def schema(self) -> dict[str, Any]:
        pattern = {"pattern": f"^(?:{self.pattern})$"} if self.pattern else {}
        return {"type": "string", "minLength": self.least, "maxLength": self.most, **pattern}

    def _is_allowed(self, raw: str) -> bool:
        if not self.least <= len(raw) <= self.most:
            return False
        try:
            if len(raw.encode()) > self.most:
                return False
        except UnicodeEncodeError:  # half a character
            return False
        if _CONTROL.search(raw) if self.has_lines else not raw.isprintable():
            return False
        return not self.pattern or re.fullmatch(self.pattern, raw) is not None

    def _expected(self) -> str:
        what = self.allowed or ("text" if self.has_lines else "one line of text")
        return f"{what}; {self.least} to {self.most} bytes of UTF-8, no control characters"


@dataclass(frozen=True, slots=True, kw_only=True)
class Whole:
    least: int
    most: int

    def parse(self, raw: object, path: str) -> int:
        if isinstance(raw, int) and not isinstance(raw, bool) and self.least <= raw <= self.most:
            return raw
        raise BadMessage(f"{path}: expected a whole number from {self.least} to {self.most}")

    def schema(self) -> dict[str, Any]:
        return {"type": "integer", "minimum": self.least, "maximum": self.most}


@dataclass(frozen=True, slots=True, kw_only=True)
class Number:
    least: float
    most: float

    def parse(self, raw: object, path: str) -> float:
        is_number = isinstance(raw, int | float) and not isinstance(raw, bool)
        if is_number and self.least <= raw <= self.most:  # type: ignore[operator]
            return float(raw)  # type: ignore[arg-type]
        raise BadMessage(f"{path}: expected a number from {self.least:g} to {self.most:g}")

    def schema(self) -> dict[str, Any]:
        return {"type": "number", "minimum": self.least, "maximum": self.most}


@dataclass(frozen=True, slots=True)
class Flag:
    def parse(self, raw: object, path: str) -> bool:
        if isinstance(raw, bool):
            return raw
        raise BadMessage(f"{path}: expected true or false")

    def schema(self) -> dict[str, Any]:
        return {"type": "boolean"}


@dataclass(frozen=True, slots=True)
class Choice:
    of: type[StrEnum]

    def parse(self, raw: object, path: str) -> StrEnum:
        if isinstance(raw, str) and raw in tuple(self.of):
            return self.of(raw)
        raise BadMessage(f"{path}: expected one of {', '.join(self.of)}")

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "enum": [one.value for one in self.of]}


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """A mapping of texts."""

    name: Text
    value: Text
    most: int

    def parse(self, raw: object, path: str) -> dict[str, str]:
        if not isinstance(raw, Mapping) or len(raw) > self.most:
            raise BadMessage(f"{path}: expected an object of at most {self.most} texts")
        found = {}
        for name, value in raw.items():
            name = self.name.parse(name, f"{path}: a name in it")
            found[name] = self.value.parse(value, f"{path}.{name}")
        return found

    def schema(self) -> dict[str, Any]:
        return {
            "type": "object",
            "propertyNames": self.name.schema(),
            "additionalProperties": self.value.schema(),
            "maxProperties": self.most,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Many:
    of: Shape
    most: int

    def parse(self, raw: object, path: str) -> tuple[Any, ...]:
        if not isinstance(raw, list | tuple) or len(raw) > self.most:
            raise BadMessage(f"{path}: expected a list of at most {self.most}")
        return tuple(self.of.parse(one, f"{path}[{number}]") for number, one in enumerate(raw))

    def schema(self) -> dict[str, Any]:
        return {"type": "array", "items": self.of.schema(), "maxItems": self.most}


@dataclass(frozen=True, slots=True)
class Record:
    """A dataclass whose fields are members. One with a method `refusal` is asked, when it is whole,
    what stands against it; its `RULES` has the same as JSON schema."""

    of: type

    def parse(self, raw: object, path: str) -> Any:
        members = _members(self.of)
        if not isinstance(raw, Mapping):
            raise BadMessage(f"{_at(path)}expected an object with {', '.join(members)}")
        for name in raw:
            if name not in members:
                shown = f"{name[:80]!r}" if isinstance(name, str) else "a name that is no text"
                allowed = ", ".join(members)
                raise BadMessage(f"{_at(path)}unknown: {shown}; allowed: {allowed}")
        found = {}
        for name, one in members.items():
            where = f"{path}.{name}" if path else name
            if name in raw and not (raw[name] is None and one.default is None):
                found[name] = one.metadata["shape"].parse(raw[name], where)
            elif _is_required(one):
                raise BadMessage(f"{where}: missing")
        return self._whole(found, path)

    def _whole(self, found: dict[str, Any], path: str) -> Any:
        record = self.of(**found)
        where, why = record.refusal() if hasattr(record, "refusal") else ("", "")
        if why:
            raise BadMessage(_at(".".join(filter(None, (path, where)))) + why)
        return record

    def schema(self) -> dict[str, Any]:
        properties = {}
        for name, one in _members(self.of).items():
            properties[name] = {
                **one.metadata["shape"].schema(),
                "description": one.metadata["doc"],
            }
            if isinstance(one.default, int | float | str):
                properties[name]["default"] = one.default
        return {
            "type": "object",
            "properties": properties,
            "required": [name for name, one in _members(self.of).items() if _is_required(one)],
            "additionalProperties": False,
            **getattr(self.of, "RULES", {}),
        }


def _at(path: str) -> str:
    return f"{path}: " if path else ""


def as_json(record: Any) -> dict[str, Any]:
    """What is not as it is by default: an older reader need not know of it."""
    found = {}
    for name, one in _members(type(record)).items():
        value = getattr(record, name)
        default = one.default
        if one.default_factory is not dataclasses.MISSING:
            default = one.default_factory()
        if value != default:
            found[name] = _plain(value)
    return found


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return as_json(value)
    if isinstance(value, tuple):
        return [_plain(one) for one in value]
    if isinstance(value, Mapping):
        return dict(value)
    return value.value if isinstance(value, StrEnum) else value


def _members(kind: type) -> dict[str, dataclasses.Field[Any]]:
    return {one.name: one for one in dataclasses.fields(kind)}


def _is_required(one: dataclasses.Field[Any]) -> bool:
    return (one.default, one.default_factory) == (dataclasses.MISSING, dataclasses.MISSING)
