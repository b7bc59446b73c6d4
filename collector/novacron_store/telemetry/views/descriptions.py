"""What describes points: series, metrics, and the entities they belong to."""

from __future__ import annotations

from novacron_store.telemetry import schema
from novacron_store.telemetry.views.view import LABELS, NAME, TS, View, stored

_ENTITY_NAME = (
    "multiIf("
    + ", ".join(
        f"newest.2['{key}'] != '', newest.2['{key}']"
        for key in ("vm.name", "service.name", "host.name")
    )
    + ", entity)"
)

DESCRIPTIONS = (
    stored(
        "series",
        f"{schema.SERIES} FINAL",
        "Every series ever seen, with its attributes",
        ("metric", NAME),
        ("entity", NAME),
        ("series", "UInt64"),
        ("kind", "String"),
        ("temporality", "String"),
        ("monotonic", "Bool"),
        ("unit", "String"),
        ("attributes", LABELS),
        ("attribute_types", LABELS, "OTLP types of the attributes that are not strings"),
        ("scope", "String", "the instrumentation scope"),
        ("first_seen", TS, "time of its first point"),
    ),
    stored(
        "metrics",
        f"{schema.METRICS} FINAL",
        "Every metric: what it measures, and in which unit",
        ("metric", NAME),
        ("kind", "String"),
        ("temporality", "String"),
        ("monotonic", "Bool"),
        ("unit", "String"),
        ("description", "String", "in the sender's words"),
        ("seen", TS, "when the sender last described it"),
    ),
    View(
        "entities",
        "What is known now of each VM, host and service",
        (
            ("entity", NAME),
            ("entity_type", "String", "vm, host, service or other"),
            ("name", "String"),
            ("resource", LABELS, "its resource attributes as last sent"),
            ("resource_types", LABELS, "OTLP types of those that are not strings"),
            ("first_seen", TS, "when it was first seen"),
            ("seen", TS, "when its resource was last written"),
        ),
        f"""SELECT entity, newest.1 AS entity_type, {_ENTITY_NAME} AS name, newest.2 AS resource,
    newest.3 AS resource_types, first AS first_seen, last AS seen
FROM (
    SELECT entity, argMax((entity_type, resource, resource_types), last_seen) AS newest,
        min(first_seen) AS first, max(last_seen) AS last
    FROM {schema.ENTITIES} GROUP BY entity
)""",
    ),
    stored(
        "entity_history",
        f"{schema.ENTITIES} FINAL",
        "Every resource an entity ever had: a renamed or moved VM has a row for each",
        ("entity", NAME),
        ("entity_type", "String", "vm, host, service or other"),
        ("resource", LABELS, "its resource attributes then"),
        ("first_seen", TS, "when it was first seen with them"),
        ("last_seen", TS, "when it was last written with them"),
    ),
)
