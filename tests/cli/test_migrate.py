"""novacron migrate."""

from __future__ import annotations

from pathlib import Path

import pytest

from novacron_cli.main import main
from novacron_store.state import open_state, require_current
from store_process import StoreProcess, free_port


def test_migrate_prepares_both_databases_twice(
    store_process: StoreProcess, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "collector.toml"
    config.write_text(
        f'[telemetry]\nurl = "{store_process.url}"\n'
        f'password_file = "{store_process.service_password_file}"\n'
        f'[state]\nurl = "sqlite:///{tmp_path}/state.db"\n[listen]\napi = "127.0.0.1:0"\n'
    )
    for _ in range(2):
        assert main(["migrate", "--config", str(config)]) == 0
    assert "state: schema 0001" in capsys.readouterr().out
    engine = open_state(f"sqlite:///{tmp_path}/state.db")
    require_current(engine)
    engine.dispose()


@pytest.mark.parametrize(
    ("text", "code", "message"),
    [
        ("[state]\nurl = 'mysql://x'", 2, "[state] url: expected sqlite:"),
        ("[state]\nurl = 1", 2, "collector.toml: state: url: expected text, got 1"),
        ("[telemetry]", 2, "collector.toml: state: missing"),
        (
            "[state]\nurl = 'sqlite:///{tmp}/s.db'\n[telemetry]\nurl = 'http://127.0.0.1:{port}'",
            3,
            "does not answer",
        ),
    ],
)
def test_wrong_settings_are_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, code: int, message: str
) -> None:
    config = tmp_path / "collector.toml"
    config.write_text(text.replace("{tmp}", str(tmp_path)).replace("{port}", str(free_port())))
    assert main(["migrate", "--config", str(config)]) == code
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
