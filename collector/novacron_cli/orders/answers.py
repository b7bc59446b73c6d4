"""Agents that are asked something over VMs, and what they answer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from novacron_cli.collector import Collector
from novacron_cli.orders.following import Follower
from novacron_cli.orders.plan import OPERATIONS
from novacron_cli.orders.progress import progress
from novacron_cli.orders.submission import new_key

_COMMANDS = "/v1/commands"
_PAGE = 500  # commands in one answer: each tells all that its VM has


def asked(
    collector: Collector, body: Mapping[str, Any], *, quiet: bool, key: str | None
) -> Mapping[str, Any]:
    """The operation by which they were asked; it has ended."""
    operation = collector.change("POST", OPERATIONS, body, key=key or new_key())
    with progress(quiet=quiet) as view:
        return Follower(collector, view).to_the_end(operation)


def commands_of(collector: Collector, operation: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """In the order of their VMs."""
    total, found = 1, 0
    pages: list[Sequence[Mapping[str, Any]]] = []
    while found < total:
        query = {"operation": operation["id"], "limit": _PAGE, "offset": found}
        answer = collector.get(_COMMANDS, query)
        total = answer["total"] if answer["commands"] else 0
        pages.append(answer["commands"])
        found += len(answer["commands"])
    for page in reversed(pages):  # the API has the newest first
        yield from reversed(page)
