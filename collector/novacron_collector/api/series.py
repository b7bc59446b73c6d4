"""POST an expression over series: what pages, alerts and scripts ask alike."""

from __future__ import annotations

import math
from dataclasses import asdict
from datetime import datetime
from typing import Any

import pyarrow as pa
from flask import Blueprint, Response, request

from novacron_collector.api import parameters
from novacron_collector.api.services import Services
from novacron_contract.errors import BadMessage
from novacron_store.telemetry.builder import Answer, Query, evaluate
from novacron_store.telemetry.builder.document import expression

MAX_POINTS = 5000
_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21600, 43200, 86400)
_ARROW = "application/vnd.apache.arrow.stream"
_MEMBERS = ("expression", "from", "to", "step", "points", "tags_as_of", "explain")


def blueprint(services: Services) -> Blueprint:
    bp = Blueprint("series", __name__, url_prefix="/v1/series")

    @bp.post("")
    def ask() -> dict[str, Any] | Response:
        parameters.allow({"format"})
        form = parameters.choice("format", ("json", "arrow")) or "json"
        body = request.get_json(silent=True)
        asked, explain = _parse(body, services.now())
        answer = evaluate(services.telemetry(), asked, services.index)
        if form == "arrow":
            return Response(_arrow(answer), mimetype=_ARROW)
        return _document(answer, asked, explain)

    return bp


def _parse(body: Any, now: datetime) -> tuple[Query, bool]:
    if not isinstance(body, dict) or "expression" not in body:
        raise BadMessage(
            "expected JSON such as {'expression': {'select': 'vm.cpu.utilization'}, 'from': '-1h'}"
        )
    unknown = sorted(set(body) - set(_MEMBERS))
    if unknown:
        raise BadMessage(f"{unknown[0][:60]}: unknown; allowed: {', '.join(_MEMBERS)}")
    start, end = (
        parameters.moment_of(name, body.get(name, default), now).timestamp()
        for name, default in (("from", "-1h"), ("to", "now"))
    )
    if start >= end:
        raise BadMessage("from: must be before `to`")
    step = _step(body, end - start)
    as_of = body.get("tags_as_of")
    query = Query(
        expression(body["expression"]),
        math.ceil(start / step) * step,  # buckets begin at multiples of a step, too
        math.floor(end / step) * step,
        step,
        as_of=None if as_of is None else parameters.moment_of("tags_as_of", as_of, now),
    )
    return query, _flag(body)


def _flag(body: dict[str, Any]) -> bool:
    explain = body.get("explain", False)
    if not isinstance(explain, bool):
        raise BadMessage("explain: expected true or false")
    return explain


def _step(body: dict[str, Any], span: float) -> float:
    """In seconds: as asked for, or a handy one of which `points` are enough."""
    step, points = body.get("step"), body.get("points", 500)
    if step is not None:
        if isinstance(step, bool) or not isinstance(step, int | float) or not 0.001 <= step <= 1e8:
            raise BadMessage("step: expected seconds, 0.001 or more")
        return float(step)
    if isinstance(points, bool) or not isinstance(points, int) or not 1 <= points <= MAX_POINTS:
        raise BadMessage(f"points: expected 1 to {MAX_POINTS}")
    return handy_step(span, points)


def handy_step(span: float, points: int) -> float:
    """The smallest one of which at most so many make up `span`; all in seconds."""
    wanted = span / points
    return next((step for step in _STEPS if step >= wanted), math.ceil(wanted / 86400) * 86400)


def _document(answer: Answer, asked: Query, explain: bool) -> dict[str, Any]:
    rows = ([None if value != value else value for value in row] for row in answer.values.tolist())
    found: dict[str, Any] = {
        "step_s": asked.step,
        "resolution": answer.resolution,
        "times": answer.times.tolist(),
        "series": [
            {"labels": labels, "values": values}
            for labels, values in zip(answer.labels, rows, strict=True)
        ],
    }
    if explain:
        found["asked"] = [asdict(one) for one in answer.asked]
    return found


def _arrow(answer: Answer) -> bytes:
    table, sink = answer.to_arrow(), pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    return bytes(sink.getvalue())
