"""A reader's request: checked, then run as ClickHouse wrote it anew, with the reader's limits."""

from __future__ import annotations

from novacron_contract.errors import BadMessage, Refused
from novacron_store.server.answers import Answer
from novacron_store.server.engine import Handle
from novacron_store.server.failures import ACCESS_DENIED, EngineError
from novacron_store.server.requests import Call
from novacron_store.server.statement import assemble
from novacron_store.telemetry.client import DATABASE
from novacron_store.telemetry.reader import Reader, check_format


def read(handle: Handle, call: Call) -> Answer:
    """`handle` has the reader's settings.

    Raises:
        EngineError: refused, not understood, or over a limit.
    """
    if call.statement.data is not None:
        raise EngineError.of(ACCESS_DENIED, "reader: Not enough privileges: INSERT is not allowed")
    if call.database not in ("", "default", DATABASE):
        raise EngineError.of(ACCESS_DENIED, f"reader: only the database {DATABASE} is readable")
    handle.prepare(DATABASE, {})
    try:
        text = Reader(handle.ask).check(call.statement.text)
        statement = assemble(text, b"", call.statement.format)
        check_format(statement.format)
    except (Refused, BadMessage) as err:
        raise EngineError.from_engine(err) from err
    whole, counts = handle.run(statement.text, statement.format, call.parameters)
    return Answer(statement.format, whole, counts)  # not streamed: an error has a status of its own
