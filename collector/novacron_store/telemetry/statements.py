"""A person's own SQL statement, run as the reader: what ClickHouse answers goes through untouched.

What the reader may do is decided on the other side of the connection, never here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from clickhouse_connect.driver import exceptions
from clickhouse_connect.driver.client import Client

from novacron_contract.errors import BadMessage, NovaCronError, Refused, TooLarge, Unavailable

MAX_ANSWER_BYTES = 64 * 1024**2
_CHUNK = 1024**2
_REFUSED = {164, 392, 446, 452, 497}  # read-only, function, setting, grant
_LIMITS = {158, 159, 160, 162, 167, 241, 290, 306, 307, 396}  # rows, time, depth, memory, bytes
_AWAY = {202, 209, 210, 236}  # too many at once, network, shutting down
_FROM_ENGINE = re.compile(r"DB::Exception: (.+?)(?: \(for url \S+\))?\s*$", re.DOTALL)
_PLACEHOLDER = re.compile(r"\{\s*([A-Za-z_][A-Za-z0-9_]*)\s*:")


class Format(StrEnum):
    """ClickHouse's names of the forms an answer can have."""

    JSON = "JSONCompact"
    CSV = "CSVWithNames"
    TSV = "TabSeparatedWithNames"
    ARROW = "ArrowStream"


def ask(client: Client, statement: str, parameters: Mapping[str, Any], form: Format) -> bytes:
    """Run `statement`; `parameters` fill its {name:Type} placeholders.

    Raises:
        BadMessage: the statement is wrong; the message is ClickHouse's.
        Refused: the reader may not do that.
        TooLarge: it went over a limit of time, rows, memory, or of the answer's size.
        Unavailable: the store does not answer.
    """
    missing = set(parameters) - set(_PLACEHOLDER.findall(statement))
    if missing:
        names = ", ".join(sorted(missing))
        raise BadMessage(f"parameters: the statement has no placeholder {{name:Type}} for {names}")
    try:
        return _read(client, statement, parameters, form)
    except exceptions.Error as err:
        raise _translated(err) from err


def _read(client: Client, statement: str, parameters: Mapping[str, Any], form: Format) -> bytes:
    statement = statement.rstrip().rstrip(";")
    answer = bytearray()
    with client.raw_stream(statement, parameters=dict(parameters), fmt=form) as stream:
        while chunk := stream.read(_CHUNK):
            answer += chunk
            if len(answer) > MAX_ANSWER_BYTES:
                raise TooLarge("the answer is larger than 64 MiB: add a LIMIT, or aggregate")
    return bytes(answer)


def _translated(err: exceptions.Error) -> NovaCronError:
    told = _FROM_ENGINE.search(str(err))
    message = told[1] if told else str(err).strip() or type(err).__name__
    if err.code in _REFUSED:
        return Refused(message)
    if err.code in _LIMITS:
        return TooLarge(message)
    if err.code in _AWAY or (err.code is None and isinstance(err, exceptions.OperationalError)):
        return Unavailable(f"the telemetry store does not answer: {message}")
    return BadMessage(message)
