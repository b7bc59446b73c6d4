"""A table for people: its columns with what they mean, and the query behind it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from novacron_store.telemetry.place import HERE, Place

TS = "DateTime64(3, 'UTC')"
HOUR = ("hour", "DateTime('UTC')", "the hour of ts: a condition on it narrows what is read")
NAME = "LowCardinality(String)"  # as stored: a conversion would not use the index
LABELS = "Map(String, String)"
OPTIONAL = "Nullable(Float64)"
_FROM = re.compile(r"(?<=\bFROM )\w+")  # a table or view; what is joined is always a SELECT
_COMMENTS = {
    "metric": "name of the metric",
    "entity": "vm.id of a VM, host.id of a host, or what else sent it",
    "series": "hash of metric, entity and attributes",
    "ts": "time of the point, UTC",
    "start_ts": "since when a cumulative value counts; 1970-01-01 where the sender did not say",
    "attributes": "what distinguishes the series of one metric and entity",
    "name": "the entity's newest name",
    "vm": "id of the VM",
    "host": "id of the host",
    "unit": "unit in UCUM: s, By, 1, {packet}",
    "kind": "gauge, sum, histogram, exponential_histogram or summary",
    "temporality": "cumulative or delta for sums and histograms, otherwise unspecified",
    "monotonic": "whether a sum only grows: a counter",
    "t": "start of the bucket, UTC",
}


@dataclass(frozen=True, slots=True)
class View:
    """`columns` as (name, type) or (name, type, comment)."""

    name: str
    comment: str
    columns: tuple[tuple[str, ...], ...]
    query: str

    @property
    def described(self) -> tuple[tuple[str, str, str], ...]:
        """Every column as (name, type, comment)."""
        return tuple(
            (name, kind, own[0] if own else _COMMENTS[name]) for name, kind, *own in self.columns
        )

    def sql(self, place: Place = HERE) -> str:
        columns = ",\n".join(
            f"    {name} {kind} COMMENT {quoted(comment)}" for name, kind, comment in self.described
        )
        name = place.named(self.name) + place.on_cluster
        query = _FROM.sub(lambda found: place.named(found[0]), self.query)
        return (
            f"CREATE OR REPLACE VIEW {name} (\n{columns}\n) AS\n{query}\n"
            f"COMMENT {quoted(self.comment)}"
        )


def quoted(comment: str) -> str:
    return "'" + comment.replace("\\", "\\\\").replace("'", "\\'") + "'"


def stored(
    name: str, relation: str, comment: str, *columns: tuple[str, ...], where: str = ""
) -> View:
    names = ", ".join(column[0] for column in columns)
    condition = f" WHERE {where}" if where else ""
    return View(name, comment, columns, f"SELECT {names} FROM {relation}{condition}")
