"""POST a SQL statement, run as the reader: its limits and its rights are the store's matter."""

from __future__ import annotations

from typing import Any

import orjson
from flask import Blueprint, Response, request

from novacron_collector.api import parameters
from novacron_collector.api.guard import needs
from novacron_collector.api.services import Services
from novacron_contract.access import Permission
from novacron_contract.errors import BadMessage
from novacron_store.telemetry.statements import Format, ask

MAX_STATEMENT = 100_000
_TYPES = {
    "csv": (Format.CSV, "text/csv; charset=utf-8"),
    "tsv": (Format.TSV, "text/tab-separated-values; charset=utf-8"),
    "arrow": (Format.ARROW, "application/vnd.apache.arrow.stream"),
}


def blueprint(services: Services) -> Blueprint:
    bp = Blueprint("sql", __name__, url_prefix="/v1/sql")

    @bp.post("")
    @needs(Permission.READ)
    def run() -> dict[str, Any] | Response:
        parameters.allow({"format"})
        form = parameters.choice("format", ("json", *_TYPES)) or "json"
        statement, values = _parse(request.get_json(silent=True))
        if form == "json":
            return _rows(ask(services.reader(), statement, values, Format.JSON))
        wanted, content_type = _TYPES[form]
        return Response(ask(services.reader(), statement, values, wanted), mimetype=content_type)

    return bp


def _parse(body: Any) -> tuple[str, dict[str, Any]]:
    match body:
        case {"query": str(query), **rest} if set(rest) <= {"parameters"}:
            values = rest.get("parameters", {})
        case _:
            raise BadMessage("expected JSON such as {'query': 'SELECT 1', 'parameters': {}}")
    if not query.strip():
        raise BadMessage("query: empty")
    if len(query) > MAX_STATEMENT:
        raise BadMessage(f"query: longer than {MAX_STATEMENT} characters")
    if not isinstance(values, dict) or not all(_is_plain(value) for value in values.values()):
        raise BadMessage("parameters: expected an object of texts, numbers, and lists of them")
    return query, values


def _is_plain(value: Any) -> bool:
    if isinstance(value, list):
        return all(isinstance(item, str | int | float) for item in value)
    return value is None or isinstance(value, str | int | float)


def _rows(answer: bytes) -> dict[str, Any]:
    document = orjson.loads(answer or b'{"meta": [], "data": []}')  # a statement without an answer
    return {"columns": document["meta"], "rows": document["data"]}
