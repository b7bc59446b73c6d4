"""The OpenAPI 3.1 document of every route; tests hold the answers against it."""

from __future__ import annotations

import re
from typing import Any

from flask import Blueprint

from novacron_collector.api import export, hosts, parameters, vms
from novacron_collector.api.guard import public
from novacron_collector.api.metrics import MAX_POINTS
from novacron_collector.api.openapi_access import (
    ANYBODY,
    SECURITY,
    VIEWERS,
    access_paths,
    access_schemas,
)
from novacron_collector.api.openapi_commands import command_paths, command_schemas
from novacron_collector.api.openapi_creation import CREATE, SPEC, creation_schemas
from novacron_collector.api.openapi_enrolment import enrolment_paths, enrolment_schemas
from novacron_collector.api.schemas import (
    LABELS,
    TEXT,
    Schema,
    component_schemas,
    enum,
    exactly,
    ref,
)
from novacron_collector.api.services import Services
from novacron_contract.metrics import VmState
from novacron_store.state import Freshness
from novacron_store.telemetry.builder import Over


def blueprint(services: Services) -> Blueprint:
    bp = Blueprint("openapi", __name__)
    written = document(services.version)

    @bp.get("/v1/openapi.json")
    @public
    def openapi() -> dict[str, Any]:
        parameters.allow(())
        return written

    return bp


def document(version: str) -> dict[str, Any]:
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "NovaCron",
            "version": version,
            "summary": "Hosts, VMs and their telemetry",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": {path: _operations(path, item) for path, item in _paths().items()},
        "components": {
            "schemas": {
                **component_schemas(),
                **access_schemas(),
                **enrolment_schemas(),
                **command_schemas(),
                **creation_schemas(),
            },
            "securitySchemes": SECURITY,
        },
    }


def _query(name: str, schema: Schema, description: str) -> Schema:
    return {"name": name, "in": "query", "schema": schema, "description": description}


def _signed(names: tuple[str, ...]) -> list[str]:
    return [f"{sign}{name}" for name in names for sign in ("", "-")]


_SHORT = {**TEXT, "maxLength": parameters.MAX_TEXT}
_PAGING = [
    _query("limit", {"type": "integer", "minimum": 1, "maximum": 5000, "default": 500}, "rows"),
    _query("offset", {"type": "integer", "minimum": 0, "default": 0}, "rows left out before"),
]
_LISTING = [
    *_PAGING,
    _query("q", _SHORT, "part of the name or id"),
    _query("freshness", enum(Freshness), "only these"),
]
_WHEN = "RFC 3339, now, or relative: -90s, -15m, -6h, -7d"


def _paths() -> dict[str, dict[str, Any]]:
    return {
        "/healthz": _open("The process runs", _inline(exactly(status=TEXT))),
        "/readyz": _open("It takes and shows data; 503 while not", _inline(exactly(status=TEXT))),
        "/v1/openapi.json": _open("This document", _inline({"type": "object"})),
        "/v1/status": _get("How NovaCron is doing, and what to do", _inline(ref("Status"))),
        "/v1/hosts": _get(
            "Hosts with their newest values",
            _inline(ref("Hosts")),
            *_LISTING,
            _query("sort", enum(_signed(hosts.SORTABLE)), "- sorts descending"),
        ),
        "/v1/hosts/{id_or_name}": _get("One host", _inline(ref("HostDetail"))),
        "/v1/vms": {
            **_get(
                "VMs with their newest values",
                _inline(ref("Vms")),
                *_LISTING,
                _query("host", _SHORT, "id or name of the host"),
                _query("state", enum(VmState), "only these"),
                _query(
                    "deleted",
                    {**enum(("false", "true")), "default": "false"},
                    "those that were deleted, in place of those that are there",
                ),
                _query("sort", enum(_signed(vms.SORTABLE)), "- sorts descending"),
            ),
            "post": CREATE,
        },
        "/v1/vm-spec": SPEC,
        "/v1/vms/{id_or_name}": _get("One VM and its history", _inline(ref("VmDetail"))),
        "/v1/agents": _get("Agents and their clocks", _inline(ref("Agents")), *_PAGING),
        "/v1/metrics": _get("The metrics there are", _inline(ref("Metrics"))),
        "/v1/query": _get("A metric over time", _inline(ref("Chart")), *_CHART),
        "/v1/series": _SERIES,
        "/v1/export": _get("A table of metrics, for analytics", _EXPORTED, *_EXPORT),
        "/v1/sql": _SQL,
        **access_paths(),
        **enrolment_paths(),
        **command_paths(),
    }


_CHART = (
    {**_query("metric", _SHORT, "such as vm.cpu.utilization"), "required": True},
    {**_query("entity", _SHORT, "id or name of a VM or host"), "required": True},
    _query("from", {**_SHORT, "default": "-1h"}, _WHEN),
    _query("to", {**_SHORT, "default": "now"}, _WHEN),
    _query(
        "max_points",
        {"type": "integer", "minimum": 2, "maximum": MAX_POINTS, "default": 500},
        "of a line",
    ),
    _query("aggregate", {**enum(("avg", "min", "max")), "default": "avg"}, "of a gauge's bucket"),
    {
        **_query("filter", LABELS, "filter.ATTRIBUTE=VALUE: only series with these attributes"),
        "style": "deepObject",
    },
)


def _many(name: str, most: int, description: str) -> Schema:
    schema = {"type": "array", "items": {**_SHORT, "minLength": 1}, "maxItems": most}
    return _query(name, schema, f"{description}; repeatable")


_EXPORT = (
    {**_many("metric", export.MAX_METRICS, "such as vm.cpu.utilization"), "required": True},
    _query("from", {**_SHORT, "default": "-1h"}, _WHEN),
    _query("to", {**_SHORT, "default": "now"}, _WHEN),
    _query("step", _SHORT, f"such as 30s or 5m; {export.RAW}: samples as they were sent"),
    _query("over", enum(Over), "of a window; default: avg, of counters rate"),
    _query(
        "share", {"type": "number", "minimum": 0, "maximum": 1, "default": 0.5}, "of a quantile"
    ),
    _many("where", export.MAX_CONDITIONS, "LABEL=VALUE, or !=, =~, !~: only such series"),
    _many("tag", export.MAX_TAGS, "a label of the resource that gets a column, such as team"),
    _query("format", {**enum(export.TYPES), "default": "parquet"}, "form"),
)
_EXPORTED: dict[str, Any] = {of.partition(";")[0]: {"schema": {}} for of in export.TYPES.values()}


def _inline(schema: Schema) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}


_SQL: dict[str, Any] = {
    "post": {
        "summary": "A SQL statement of your own, with the reader's rights and limits",
        "parameters": [
            _query("format", {**enum(("json", "csv", "tsv", "arrow")), "default": "json"}, "form")
        ],
        "requestBody": {"required": True, "content": _inline(ref("Statement"))},
        "content": {
            **_inline(ref("Rows")),
            "text/csv": {"schema": TEXT},
            "text/tab-separated-values": {"schema": TEXT},
            "application/vnd.apache.arrow.stream": {"schema": {}},
        },
    }
}


_SERIES: dict[str, Any] = {
    "post": {
        "summary": "An expression over series: functions over windows, by any label",
        "parameters": [_query("format", {**enum(("json", "arrow")), "default": "json"}, "form")],
        "requestBody": {"required": True, "content": _inline(ref("Question"))},
        "content": {
            **_inline({"oneOf": [ref("Series"), ref("Lines")]}),
            "application/vnd.apache.arrow.stream": {"schema": {}},
        },
    }
}


def _get(summary: str, content: dict[str, Any], *query: Schema) -> dict[str, Any]:
    return {"get": {"summary": summary, "parameters": list(query), "content": content}}


def _open(summary: str, content: dict[str, Any]) -> dict[str, Any]:
    """Anybody may ask."""
    return {"get": {**_get(summary, content)["get"], "security": ANYBODY}}


_ANSWERED = ("content", "status", "more")


def _operations(path: str, item: dict[str, Any]) -> dict[str, Any]:
    """Add what every operation has: an id, the path's own parameters, who may, the errors."""
    operations: dict[str, Any] = {}
    for method, operation in item.items():
        rest = {key: value for key, value in operation.items() if key not in _ANSWERED}
        answers = {
            **operation.get("more", {}),
            operation.get("status", "200"): {"description": "OK", "content": operation["content"]},
            "default": {"description": "An error", "content": _inline(ref("Error"))},
        }
        operations[method] = {
            "operationId": _id(method, path),
            "security": VIEWERS,
            **rest,
            "responses": answers,
        }
    if names := re.findall(r"\{(\w+)\}", path):
        operations["parameters"] = [
            {"name": name, "in": "path", "required": True, "schema": TEXT} for name in names
        ]
    return operations


def _id(method: str, path: str) -> str:
    words = re.sub(r"\{\w+\}", "one", path.removeprefix("/v1").replace(".json", ""))
    return "_".join([method, *words.strip("/").split("/")])
