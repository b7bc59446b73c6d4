"""OTLP/JSON as OTLP/protobuf: from there on, a request is the same whatever it came as."""

from __future__ import annotations

import base64
import binascii
from typing import Any

import orjson
from google.protobuf.json_format import ParseDict, ParseError
from opentelemetry.proto.metrics.v1.metrics_pb2 import MetricsData

from novacron_contract.errors import BadMessage

_HEX_FIELDS = ("traceId", "trace_id", "spanId", "span_id")
_MAX_DEPTH = 100


def to_protobuf(body: bytes) -> bytes:
    """Enums by number or name, 64-bit integers as text or numbers; unknown fields are left out.

    Raises:
        BadMessage: it is not OTLP/JSON.
    """
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as err:
        raise BadMessage(f"not JSON: {err}") from err
    if not isinstance(document, dict):
        raise BadMessage("not an OTLP metrics request: expected a JSON object")
    if any(name.encode() in body for name in _HEX_FIELDS):
        _hex_to_base64(document)
    try:
        message = ParseDict(
            document, MetricsData(), ignore_unknown_fields=True, max_recursion_depth=_MAX_DEPTH
        )
    except (ParseError, AttributeError, TypeError, ValueError) as err:
        raise BadMessage(f"not an OTLP metrics request: {_innermost(err)}") from err
    return bytes(message.SerializeToString())


def _hex_to_base64(document: Any) -> None:
    """Trace and span ids are hex in OTLP/JSON, unlike all other bytes."""
    waiting = [document]
    while waiting:
        item = waiting.pop()
        if isinstance(item, list):
            waiting.extend(item)
        elif isinstance(item, dict):
            waiting.extend(item.values())
            for name in _HEX_FIELDS:
                if isinstance(item.get(name), str):
                    item[name] = _base64(name, item[name])


def _base64(name: str, text: str) -> str:
    try:
        return base64.b64encode(binascii.unhexlify(text)).decode()
    except (binascii.Error, ValueError) as err:
        raise BadMessage(f"not an OTLP metrics request: {name} is not hexadecimal") from err


def _innermost(err: Exception) -> str:
    """What is wrong, without the list of all messages around it."""
    return str(err).removesuffix(".").rsplit("Failed to parse ", 1)[-1][:300]
