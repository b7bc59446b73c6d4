"""novacron-ui from the command line."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from novacron_contract.errors import ConfigError
from novacron_contract.settings import load
from novacron_ui.cli import live_url, main
from novacron_ui.settings import Settings

SAMPLE = Path(__file__).parents[2] / "packaging" / "config" / "ui.toml"


STATE = '[state]\nurl = "sqlite:////tmp/x.db"\n'


def run(tmp_path: Path, text: str) -> int:
    config = tmp_path / "ui.toml"
    config.write_text(text)
    return main(["--config", str(config)])


def test_the_sample_has_the_defaults() -> None:
    sample = load(SAMPLE, Settings)
    assert sample.ui.listen == "127.0.0.1:8050"
    assert sample.collector.url == "http://127.0.0.1:8440"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "state: missing"),
        ('[state]\nurl = "sqlite:////tmp/x.db"\n[ui]\nport = 1\n', "port: unknown; allowed:"),
        ('[state]\nurl = "mysql://x"\n', "sqlite:////path/state.db or postgresql"),
        ('[state]\nurl = "sqlite:////tmp/x.db"\n[ui]\nlisten = "8050"\n', "expected HOST:PORT"),
        (f"{STATE}[collector]\nurl = 'x'\n", "expected a URL such as http://"),
        (f"{STATE}[collector]\nurl = 'http://192.0.2.1:8440'\n", "use https://, with ca_file"),
        (f"{STATE}[collector]\ntoken_file = '/none'\n", "/none: the secret cannot be read"),
        (f"{STATE}[collector]\nca_file = '/none'\n", "ca_file: /none: cannot be used"),
        (f"{STATE}[ui]\nlisten = '0.0.0.0:0'\n", "set cert_file and key_file under [tls]"),
        (f"{STATE}[tls]\nkey_file = '/none'\n", "one needs the other"),
        (f"{STATE}[tls]\nkey_file = '/a'\ncert_file = '/b'\n", "/b, /a: cannot be used"),
    ],
)
def test_a_wrong_setting_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, complaint: str
) -> None:
    assert run(tmp_path, text) == 2
    said = capsys.readouterr().err
    assert said.startswith("novacron-ui: ")
    assert complaint in said
    assert said.count("\n") == 1


def test_a_port_in_use_says_what_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        state = f'[state]\nurl = "sqlite:///{tmp_path}/state.db"\n'
        assert run(tmp_path, f'{state}[ui]\nlisten = "{address}"\n') == 2
    assert f"listen: {address} is in use" in capsys.readouterr().err


def test_the_live_feed_is_at_the_collector() -> None:
    assert live_url("http://127.0.0.1:8440") == "ws://127.0.0.1:8440/v1/live"
    assert live_url("https://nova.example") == "wss://nova.example/v1/live"
    with pytest.raises(ConfigError):
        live_url("127.0.0.1:8440")
