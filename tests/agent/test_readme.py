"""agent/README.md and the sample settings say what the code does."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from kvm_peers import COLLECTD, DOMSTATS
from novacron_agent.delivery.destination import Destination
from novacron_agent.providers import PROVIDERS
from novacron_agent.providers.kvm import KvmProvider
from novacron_agent.readme import render
from novacron_agent.settings import ENDPOINT, AgentTable, HostTable, Settings, read_settings
from novacron_contract.metrics import BY_NAME, METRICS

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "agent/README.md"
SAMPLE = ROOT / "packaging/config/agent.toml"


def test_the_tables_are_those_of_the_code() -> None:
    text = README.read_text(encoding="utf-8")

    assert render(text) == text, "run: python -m novacron_agent.readme agent/README.md"
    assert all(f"| `{metric.name}` | `{metric.unit}` |" in text for metric in METRICS)


def test_a_table_that_is_out_of_date_is_made_anew() -> None:
    text = README.read_text(encoding="utf-8")
    assert render(text.replace("`vm.cpu.time`", "`vm.cpu.tme`", 1)) == text


def test_others_names_for_guests_figures_are_those_that_tests_compare() -> None:
    _, _, section = README.read_text(encoding="utf-8").partition("### Coming from ")
    rows = [line.split("|")[1:-1] for line in section.splitlines() if line.startswith("| `")]
    theirs = {
        **{key: (0, metric) for key, (metric, _, _) in DOMSTATS.items()},
        **{name: (1, columns[0][0]) for name, columns in COLLECTD.items()},
    }

    for name, (column, metric) in theirs.items():
        assert any(f"`{name}`" in row[column] and f"`{metric}`" in row[2] for row in rows), name
    named = {name for row in rows[1:] for cell in row for name in re.findall("`(.+?)`", cell)}
    more = {"state.state", "balloon.available", "memory-available", "block.N.allocation"}
    assert named - more - BY_NAME.keys() - theirs.keys() == {
        "domain_state", "disk_physical-N", "running", "paused", "stopped",
    }  # fmt: skip


def test_the_sample_settings_are_accepted() -> None:
    settings = read_settings(SAMPLE)
    assert settings == Settings(provider={"name": "kvm"})


def test_the_sample_shows_every_key_with_its_default(tmp_path: Path) -> None:
    text = re.sub(r"^# (\w+ = )", r"\1", SAMPLE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    everything = tmp_path / "agent.toml"
    everything.write_text(text, encoding="utf-8")

    settings = read_settings(everything)

    unset: dict[str, Any] = {"host_id": None, "spool": None, "identity": None, "endpoint": None}
    assert dataclasses.replace(settings.agent, **unset) == AgentTable()
    assert settings.agent.endpoint == ENDPOINT
    assert settings.identity == dataclasses.replace(settings, agent=AgentTable()).identity
    assert settings.spool == dataclasses.replace(settings, agent=AgentTable()).spool
    assert settings.host == HostTable()
    assert settings.provider is not None
    assert (
        PROVIDERS.create("kvm", everything_but_name(settings.provider), where="") == KvmProvider()
    )
    for table in (AgentTable, HostTable):
        for field in dataclasses.fields(table):
            assert re.search(rf"^{field.name} = ", text, re.MULTILINE), field.name


def everything_but_name(provider: Mapping[str, Any]) -> dict[str, Any]:
    options = dict(provider)
    assert options.pop("name") == "kvm"
    assert options.keys() == {f.name for f in dataclasses.fields(KvmProvider) if f.init}
    return options


def test_the_sample_shows_every_key_of_a_destination(tmp_path: Path) -> None:
    text = SAMPLE.read_text(encoding="utf-8").replace("\n#[[", "\n[[")
    text = re.sub(r"^#(\w+ = )", r"\1", text, flags=re.MULTILINE)
    everything = tmp_path / "agent.toml"
    everything.write_text(text, encoding="utf-8")

    [there] = read_settings(everything).destinations

    shown: dict[str, Any] = {"name": "x", "endpoint": "https://x"}
    default = dataclasses.asdict(Destination(**shown))
    for field in dataclasses.fields(Destination):
        value = getattr(there, field.name)
        if default[field.name] and field.name not in shown:
            assert value == default[field.name], field.name
        else:
            assert value, field.name


@pytest.mark.parametrize("line", ["novacron-agent --config agent.toml --once", "[provider]"])
def test_the_readme_names_what_an_operator_types(line: str) -> None:
    assert line in README.read_text(encoding="utf-8")
