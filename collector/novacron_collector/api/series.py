"""POST an expression over series: what pages, alerts and scripts ask alike."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import pyarrow as pa
from flask import Blueprint, Response, request

from novacron_collector.api import parameters
from novacron_collector.api.guard import needs
from novacron_collector.api.services import Services
from novacron_contract.access import Permission
from novacron_contract.errors import BadMessage
from novacron_store.telemetry.builder import Answer, Query, evaluate, lines_table
from novacron_store.telemetry.builder import grid as builder_grid
from novacron_store.telemetry.builder.document import expression

MAX_POINTS = 5000
MAX_PIXELS = 10_000
PER_PIXEL = 4  # windows to choose one of; with more a week would be read from samples, not buckets
FINEST_S = 10  # as often as agents send: a finer step would be mostly gaps
_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21600, 43200, 86400)
_ARROW = "application/vnd.apache.arrow.stream"
_MEMBERS = ("expression", "from", "to", "step", "points", "pixels", "tags_as_of", "explain")


@dataclass(frozen=True, slots=True)
class _Asked:
    query: Query
    pixels: int | None
    explain: bool


def blueprint(services: Services) -> Blueprint:
    bp = Blueprint("series", __name__, url_prefix="/v1/series")

    @bp.post("")
    @needs(Permission.READ)
    def ask() -> dict[str, Any] | Response:
        parameters.allow({"format"})
        form = parameters.choice("format", ("json", "arrow")) or "json"
        asked = _parse(request.get_json(silent=True), services.now())
        answer = evaluate(services.telemetry(), asked.query, services.index)
        if form == "arrow":
            return Response(_arrow(answer, asked.pixels), mimetype=_ARROW)
        return _document(answer, asked)

    return bp


def _parse(body: Any, now: datetime) -> _Asked:
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
    pixels = _pixels(body)
    step = _step(body, end - start, pixels)
    as_of = body.get("tags_as_of")
    query = Query(
        expression(body["expression"]),
        math.ceil(start / step) * step,  # buckets begin at multiples of a step, too
        math.floor(end / step) * step,
        step,
        as_of=None if as_of is None else parameters.moment_of("tags_as_of", as_of, now),
    )
    return _Asked(query, pixels, _flag(body))


def _flag(body: dict[str, Any]) -> bool:
    explain = body.get("explain", False)
    if not isinstance(explain, bool):
        raise BadMessage("explain: expected true or false")
    return explain


def _pixels(body: dict[str, Any]) -> int | None:
    pixels = body.get("pixels")
    return None if pixels is None else _count("pixels", pixels, 2, MAX_PIXELS)


def _count(name: str, value: object, least: int, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise BadMessage(f"{name}: expected {least} to {most}")
    return value


def _step(body: dict[str, Any], span: float, pixels: int | None) -> float:
    """In seconds: as asked for, or a handy one of which `points` are enough; for `pixels` a finer
    one, so that thinning has spikes to choose which a mean would hide."""
    step = body.get("step")
    if step is not None:
        if isinstance(step, bool) or not isinstance(step, int | float) or not 0.001 <= step <= 1e8:
            raise BadMessage("step: expected seconds, 0.001 or more")
        return float(step)
    if pixels is not None and "points" not in body:
        most = builder_grid.MAX_POINTS - 1  # both ends have one
        return max(min(FINEST_S, span), handy_step(span, min(PER_PIXEL * pixels, most)))
    return handy_step(span, _count("points", body.get("points", 500), 1, MAX_POINTS))


def handy_step(span: float, points: int) -> float:
    """The smallest one of which at most so many make up `span`; all in seconds."""
    wanted = span / points
    return next((step for step in _STEPS if step >= wanted), math.ceil(wanted / 86400) * 86400)


def _document(answer: Answer, asked: _Asked) -> dict[str, Any]:
    found: dict[str, Any] = {"step_s": asked.query.step, "resolution": answer.resolution}
    if asked.pixels is None:
        rows = map(_or_null, answer.values.tolist())
        found["times"] = answer.times.tolist()
        found["series"] = [
            {"labels": labels, "values": values}
            for labels, values in zip(answer.labels, rows, strict=True)
        ]
    else:
        found["series"] = [
            {
                "labels": line.labels,
                "times": line.times.tolist(),
                "values": _or_null(line.values.tolist()),
            }
            for line in answer.thinned(asked.pixels)
        ]
    if asked.explain:
        found["asked"] = [asdict(one) for one in answer.asked]
    return found


def _or_null(values: list[float]) -> list[float | None]:
    return [None if value != value else value for value in values]


def _arrow(answer: Answer, pixels: int | None) -> bytes:
    table = answer.to_arrow() if pixels is None else lines_table(answer.thinned(pixels))
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    return bytes(sink.getvalue())
