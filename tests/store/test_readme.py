"""collector/README.md lists the tables that there are, and its examples run."""

from __future__ import annotations

import re
from pathlib import Path

from clickhouse_connect.driver.client import Client

from novacron_store.telemetry.readme import render

README = Path(__file__).resolve().parents[2] / "collector/README.md"


def test_the_tables_are_those_of_the_code() -> None:
    text = README.read_text(encoding="utf-8")

    command = "python -m novacron_store.telemetry.readme collector/README.md"
    assert render(text) == text, f"run: {command}"
    assert "#### `vm_cpu`" in text


def test_the_examples_run(store: Client) -> None:
    text = README.read_text(encoding="utf-8")
    examples = [part for block in re.findall(r"```sql\n(.*?)```", text, re.DOTALL)
                for part in block.split(";") if part.strip()]  # fmt: skip

    assert len(examples) >= 4
    for example in examples:
        store.query(example.strip())
