"""Writes the generated list of metrics: python -m novacron_collector.readme collector/README.md"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

from novacron_contract.collector_metrics import (
    INTAKE_METRICS,
    LOG_METRICS,
    PROCESS_METRICS,
    STORE_METRICS,
)
from novacron_contract.metrics import Metric

_GENERATED = re.compile(r"(<!-- metrics: generated -->\n).*?(<!-- /metrics -->)", re.DOTALL)
_GROUPS = (
    ("What comes in", INTAKE_METRICS),
    ("The write-ahead log", LOG_METRICS),
    ("The store, as the collector sees it", STORE_METRICS),
    ("The process", PROCESS_METRICS),
)


def render(text: str) -> str:
    """`text` with its list of metrics as the code has them."""
    lines = "".join(f"{line}\n" for line in _lines())
    return _GENERATED.sub(lambda found: f"{found[1]}{lines}{found[2]}", text)


def _lines() -> Iterator[str]:
    for title, metrics in _GROUPS:
        yield f"\n### {title}\n"
        yield "| Metric | Unit | Kind | Attributes | |"
        yield "|---|---|---|---|---|"
        yield from map(_row, metrics)
    yield ""


def _row(metric: Metric) -> str:
    attributes = ", ".join(f"`{name}`" for name in metric.attributes)
    return (
        f"| `{metric.name}` | `{metric.unit}` | {metric.kind} | {attributes} "
        f"| {metric.description} |"
    )


def main() -> None:
    """Rewrite the files that are named."""
    for path in map(Path, sys.argv[1:]):
        path.write_text(render(path.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
