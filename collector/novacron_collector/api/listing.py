"""Filter, sort and page a list of rows, alike on every route that lists machines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from novacron_collector.api import parameters

PAGING = frozenset({"limit", "offset", "sort", "q", "freshness"})


def listed(name: str, rows: Sequence[dict[str, Any]], sortable: Sequence[str]) -> dict[str, Any]:
    """The page of `rows` that the request asks for, as {name: rows, total, limit, offset}."""
    page, found = parameters.page(), _sorted(_matching(rows), sortable)
    return {
        name: found[page.offset : page.offset + page.limit],
        "total": len(found),
        "limit": page.limit,
        "offset": page.offset,
    }


def _matching(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    wanted = parameters.choice("freshness", ("fresh", "stale", "gone"))
    query = (parameters.text("q") or "").casefold()
    return [
        row
        for row in rows
        if (wanted is None or row["freshness"] == wanted)
        and (query in row["name"].casefold() or query in row["id"].casefold())
    ]


def _sorted(rows: list[dict[str, Any]], sortable: Sequence[str]) -> list[dict[str, Any]]:
    key = parameters.choice("sort", [f"{sign}{name}" for name in sortable for sign in ("", "-")])
    if key is None:
        return rows
    name, descending = key.lstrip("-"), key.startswith("-")
    known = [row for row in rows if row[name] is not None]
    unknown = [row for row in rows if row[name] is None]  # last, whichever way
    return sorted(known, key=lambda row: row[name], reverse=descending) + unknown
