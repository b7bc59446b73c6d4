"""OTLP attributes as text, each with its OTLP type, in one order whatever the sender's was."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Attributes:
    """Sorted by key; of equal keys the last one counts."""

    texts: tuple[tuple[str, str], ...] = ()
    types: tuple[tuple[str, str], ...] = ()  # only of those that are not strings
    canonical: bytes = b""  # equal for equal attributes, different for different ones
    sent: int = 0  # how many there were, those of equal keys too
    depth: int = 0  # of arrays and maps in one another

    def get(self, key: str) -> str:
        """The text of `key`; empty when there is none."""
        return next((text for name, text in self.texts if name == key), "")


def read_attributes(pairs: Sequence[Any], most: int) -> Attributes:
    """From OTLP `KeyValue` messages; of more than `most` only their number is told."""
    if not pairs:
        return NO_ATTRIBUTES
    if len(pairs) > most:  # a few bytes each: reading them costs hundreds of times that
        return Attributes(sent=len(pairs))
    every = [(pair.key, pair.value) for pair in pairs]
    typed = {key: _typed_text(value) for key, value in every}
    keys = sorted(typed)
    return Attributes(
        texts=tuple((key, typed[key][1]) for key in keys),
        types=tuple((key, typed[key][0]) for key in keys if typed[key][0] != "string"),
        canonical=b"".join(length_prefixed(key, *typed[key]) for key in keys),
        sent=len(every),
        depth=max(_depth(value) for _, value in every),
    )


def length_prefixed(*parts: str | bytes) -> bytes:
    """Join `parts` so that no two different lists of parts give the same bytes."""
    encoded = [part.encode() if isinstance(part, str) else part for part in parts]
    return b"".join(len(part).to_bytes(4, "little") + part for part in encoded)


NO_ATTRIBUTES = Attributes()
_TYPES = {
    "string_value": "string",
    "bool_value": "bool",
    "int_value": "int",
    "double_value": "double",
    "array_value": "array",
    "kvlist_value": "kvlist",
    "bytes_value": "bytes",
}


def _typed_text(value: Any) -> tuple[str, str]:
    field = value.WhichOneof("value")
    kind = _TYPES.get(field, "empty")
    match kind:
        case "string":
            return kind, value.string_value
        case "bool":
            return kind, "true" if value.bool_value else "false"
        case "int":
            return kind, str(value.int_value)
        case "double":
            return kind, repr(value.double_value)
        case "bytes":
            return kind, base64.b64encode(value.bytes_value).decode()
        case "array" | "kvlist":
            plain = _plain(value)
            text = json.dumps(plain, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
            return kind, text
    return kind, ""


def _depth(value: Any) -> int:
    """Protobuf itself reads no more than a hundred messages in one another."""
    match value.WhichOneof("value"):
        case "array_value":
            return 1 + max(map(_depth, value.array_value.values), default=0)
        case "kvlist_value":
            inner = (pair.value for pair in value.kvlist_value.values)
            return 1 + max(map(_depth, inner), default=0)
    return 0


def _plain(value: Any) -> Any:
    """A nested value as what JSON can hold; bytes stay apart from the text that looks the same."""
    match value.WhichOneof("value"):
        case "array_value":
            return [_plain(item) for item in value.array_value.values]
        case "kvlist_value":
            return {pair.key: _plain(pair.value) for pair in value.kvlist_value.values}
        case "bytes_value":
            return {"base64": base64.b64encode(value.bytes_value).decode()}
        case "double_value" if not math.isfinite(value.double_value):
            return repr(value.double_value)
        case "string_value" | "bool_value" | "int_value" | "double_value" as field:
            return getattr(value, field)
    return None
