"""collector/README.md lists the metrics that there are."""

from __future__ import annotations

from pathlib import Path

from novacron_collector.readme import render
from novacron_contract.collector_metrics import COLLECTOR_METRICS

README = Path(__file__).resolve().parents[2] / "collector/README.md"


def test_the_metrics_are_those_of_the_code() -> None:
    text = README.read_text(encoding="utf-8")

    assert render(text) == text, "run: python -m novacron_collector.readme collector/README.md"
    assert all(f"| `{metric.name}` | `{metric.unit}` |" in text for metric in COLLECTOR_METRICS)


def test_a_list_that_is_out_of_date_is_made_anew() -> None:
    text = README.read_text(encoding="utf-8")
    assert render(text.replace("`process.uptime`", "`process.uptme`")) == text
