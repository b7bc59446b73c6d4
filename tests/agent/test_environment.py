"""Settings from the environment, in the place of the file's."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from novacron_agent.cli import main
from novacron_agent.settings import AgentTable, Settings, read_settings
from novacron_contract.environment import overridden
from novacron_contract.errors import ConfigError
from novacron_contract.settings import parse
from otlp_receiver import otlp_receiver

PREFIX = "NOVACRON_AGENT"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "agent.toml"
    path.write_text(f'[agent]\nid_file = "{tmp_path}/agent-id"\ninterval = "1h"\n')
    return path


def test_an_agent_heeds_it(path: Path) -> None:
    with otlp_receiver() as there:
        said = {"AGENT__INTERVAL": "1s", "AGENT__ENDPOINT": there.url, "PROVIDER__NAME": "kvm"}
        said["PROVIDER__URI"] = "test:///default"
        environment = os.environ | {f"{PREFIX}__{name}": value for name, value in said.items()}
        command = [sys.executable, "-m", "novacron_agent", "--config", str(path)]
        with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as agent:
            try:
                received = there.wait_for(2, timeout=20)
            finally:
                agent.kill()

    named = {
        attribute.value.string_value
        for one in received
        for resource in one.message.resource_metrics
        for attribute in resource.resource.attributes
        if attribute.key == "vm.name"
    }
    assert named == {"test"}


@pytest.mark.parametrize(
    ("name", "value", "meant"),
    [
        ("AGENT__INTERVAL", "5", {"interval": 5.0}),
        ("AGENT__INTERVAL", "5m", {"interval": 300.0}),
        ("AGENT__HOST_ID", "007", {"host_id": "007"}),
        ("AGENT__HOST_ID", "true", {"host_id": "true"}),
        ("AGENT__SPOOL", "/x y", {"spool": Path("/x y")}),
        ("AGENT__LOG_LEVEL", "debug", {"log_level": "debug"}),
    ],
)
def test_a_value_means_what_it_means_in_the_file(
    path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str, meant: dict[str, object]
) -> None:
    monkeypatch.setenv(f"{PREFIX}__{name}", value)

    [(key, wanted)] = meant.items()
    assert getattr(read_settings(path).agent, key) == wanted


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("AGENT__INTERVAL", "0", "interval: must be at least 1, got 0"),
        ("AGENT__INTERVAL", "", 'interval: expected "10s", "5m", "7d" or seconds'),
        ("AGENT__INTERVAL", "9" * 5000, 'interval: expected "10s", "5m", "7d" or seconds'),
        ("AGENT__INTERVALL", "5s", "intervall: unknown; allowed: endpoint, host_id"),
        ("AGENT__ENDPOINT", "x:1", "endpoint: expected a URL such as http://127.0.0.1:4318"),
        ("AGENT__ENDPOINT", "http://me:sesame@x", "endpoint: a user or password belongs into"),
        ("AGENT__HOST_ID", "\udcff", "not UTF-8"),
        ("HOST__ENABLED", "yes", "enabled: expected true or false, got 'yes'"),
        (
            "AGENT",
            "5s",
            "unknown; allowed: NOVACRON_AGENT__AGENT__KEY, NOVACRON_AGENT__COMMANDS__KEY",
        ),
        ("AGENT__", "5s", "unknown; allowed: NOVACRON_AGENT__AGENT__KEY"),
        ("DESTINATIONS__NAME", "x", "unknown; allowed: NOVACRON_AGENT__AGENT__KEY"),
    ],
)
def test_a_mistake_is_one_line_that_names_the_variable(
    path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    value: str,
    message: str,
) -> None:
    monkeypatch.setenv(f"{PREFIX}__{name}", value)

    assert main(["--config", str(path)]) == 2

    errors = capsys.readouterr().err
    assert errors.startswith(f"novacron-agent: {PREFIX}__{name}: {message}")
    assert errors.count("\n") == 1
    assert "sesame" not in errors


def test_options_of_a_provider_name_the_variable(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(f"{PREFIX}__PROVIDER__NAME", "kvm")
    monkeypatch.setenv(f"{PREFIX}__PROVIDER__URL", "x")

    assert main(["--config", str(path)]) == 2

    variables = f"{PREFIX}__PROVIDER__NAME, {PREFIX}__PROVIDER__URL"
    assert f"{path} and {variables}: provider: url: unknown" in capsys.readouterr().err


def test_other_variables_are_none_of_our_business(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOVACRON_AGENTS__X", "1")
    monkeypatch.setenv("NOVACRON_AGENT", "1")
    assert read_settings(path).agent.interval == 3600


@given(st.text(), st.sampled_from(["interval", "endpoint", "host_id", "spool", "log_level"]))
def test_any_text_is_a_value_or_one_error(text: str, key: str) -> None:
    variable = f"{PREFIX}__AGENT__{key.upper()}"
    complaint = ""
    try:
        merged = overridden({}, {variable: text}, PREFIX, Settings)
        assert isinstance(parse(merged, Settings, where="x").agent, AgentTable)
    except ConfigError as err:
        complaint = str(err)
    assert not complaint or complaint.startswith(f"{variable}: ")


@pytest.mark.parametrize("text", ["x = " + "9" * 5000, "x = " + "[" * 5000 + "]" * 5000])
def test_a_file_that_is_too_much_for_toml_is_one_line(text: str) -> None:
    with tempfile.NamedTemporaryFile("w", suffix=".toml") as file:
        file.write(text)
        file.flush()
        with pytest.raises(ConfigError, match="not valid TOML"):
            read_settings(Path(file.name))
