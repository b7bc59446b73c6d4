"""Writes the generated tables: python -m novacron_agent.readme agent/README.md"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from novacron_agent.commands.settings import CommandsTable
from novacron_agent.delivery.destination import Destination
from novacron_agent.providers.kvm import KvmProvider
from novacron_agent.selection import MetricRule
from novacron_agent.settings import AgentTable, HostTable
from novacron_contract.metrics import (
    AGENT_METRICS,
    HOST_METRICS,
    LIBVIRT_METRICS,
    VM_METRICS,
    Metric,
)

_REQUIRED = "required"
_GROUPS = (
    ("The machine, from inside", HOST_METRICS),
    ("Guests, for every provider", VM_METRICS),
    ("What libvirt alone knows", LIBVIRT_METRICS),
    ("The agent itself", AGENT_METRICS),
)
_TABLES = (
    ("agent", AgentTable),
    ("[destinations]", Destination),
    ("host", HostTable),
    ("[metrics]", MetricRule),
    ("provider", KvmProvider),
    ("commands", CommandsTable),
)


def render(text: str) -> str:
    """`text` with what stands between each pair of markers made anew."""
    for name, lines in (("settings", _settings()), ("metrics", _metrics())):
        begin, end = f"<!-- {name}: generated -->", f"<!-- /{name} -->"
        head, _, rest = text.partition(begin)
        _, _, tail = rest.partition(end)
        text = "\n".join([head + begin, *lines, end + tail])
    return text


def _metrics() -> Iterator[str]:
    for title, metrics in _GROUPS:
        yield f"\n### {title}\n"
        yield "| Metric | Unit | Kind | Attributes | |"
        yield "|---|---|---|---|---|"
        yield from map(_metric, metrics)
    yield ""


def _metric(metric: Metric) -> str:
    attributes = ", ".join(f"`{name}`" for name in metric.attributes)
    return (
        f"| `{metric.name}` | `{metric.unit}` | {metric.kind} | {attributes} "
        f"| {metric.description} |"
    )


def _settings() -> Iterator[str]:
    yield "\n| Table | Key | Default | |\n|---|---|---|---|"
    for table, schema in _TABLES:
        if table == "provider":
            yield "| `[provider]` | `name` | none: no guests | The provider: `kvm` |"
        for field in _options(schema):
            doc = field.metadata["doc"]
            yield f"| `[{table}]` | `{field.name}` | {_default(field)} | {doc} |"
    yield ""


def _options(schema: Any) -> Iterable[dataclasses.Field[Any]]:
    """Those that are required first."""
    options = [field for field in dataclasses.fields(schema) if field.init]
    return sorted(options, key=lambda field: _default(field) != _REQUIRED)


def _default(field: dataclasses.Field[Any]) -> str:
    match field.metadata["unit"], field.default:
        case _, dataclasses.MISSING:
            return _REQUIRED if field.default_factory is dataclasses.MISSING else "none"
        case _, None:
            return "none"
        case "s", float(seconds) if seconds >= 3600:
            return f'`"{seconds / 3600:g}h"`'
        case "s", float(seconds):
            return f'`"{seconds:g}s"`'
        case "By", int(size):
            return f'`"{size // 2**20}MiB"`'
        case _, bool(value):
            return f"`{str(value).lower()}`"
        case _, int(number):
            return f"`{number}`"
        case _, value:
            return f'`"{value}"`'


def main() -> None:
    """Rewrite the files that are named."""
    for path in map(Path, sys.argv[1:]):
        path.write_text(render(path.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
