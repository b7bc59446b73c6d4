"""novacron migrate."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import pytest

from free_ports import free_port
from novacron_cli.main import main
from novacron_store.state import open_state, require_current
from store_process import StoreProcess


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
    assert "state: schema 0006" in capsys.readouterr().out
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


def test_printed_sql_makes_a_telemetry_database_that_needs_no_migration(
    store_process: StoreProcess, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "collector.toml"
    config.write_text(
        f'[telemetry]\nurl = "{store_process.url}"\ndatabase = "by-hand"\n'
        f'password_file = "{store_process.service_password_file}"\n'
        f'[state]\nurl = "sqlite:///{tmp_path}/state.db"\n[retention]\nraw = "3d"\n'
    )
    assert main(["migrate", "--print", "--config", str(config)]) == 0
    assert not (tmp_path / "state.db").exists()
    client = store_process.service()
    for statement in statements_of(capsys.readouterr().out):
        client.command(statement, use_database=False)

    assert main(["migrate", "--config", str(config)]) == 0

    records = (
        "SELECT (SELECT count() FROM t.data_migrations), (SELECT count() FROM t.data_settings)"
    )
    assert client.query(records.replace("t.", "`by-hand`.")).result_rows == [(2, 3)]
    assert "259200" in str(client.command("SHOW CREATE TABLE `by-hand`.data_blocks"))
    client.command("DROP DATABASE `by-hand`", use_database=False)
    client.close()


def test_printing_needs_neither_settings_nor_databases(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["migrate", "--print"]) == 0

    text = capsys.readouterr().out
    assert text.startswith(f"-- NovaCron {version('novacron')}: ")
    assert "CLUSTER" not in text
    found = statements_of(text)
    assert found[0] == "CREATE DATABASE IF NOT EXISTS `novacron`"
    assert any(" VIEW `novacron`.vm_cpu (" in statement for statement in found)


def test_what_is_printed_for_a_cluster_says_that_it_has_not_run(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["migrate", "--print", "--cluster", "production"]) == 0

    text = capsys.readouterr().out
    assert "HAVE NOT RUN on a cluster" in text
    assert "ON CLUSTER 'production'" in text


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--cluster", "production"], "--cluster: with --print alone"),
        (["--print", "--cluster", "it's"], "a cluster's name is letters"),
        (["--print", "--cluster", ""], "a name is missing"),
        (["--print", "--config", "/nowhere/collector.toml"], "/nowhere/collector.toml: cannot be"),
    ],
)
def test_nothing_is_printed_for_a_wrong_request(
    capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    assert main(["migrate", *words]) == 2

    printed = capsys.readouterr()
    assert message in printed.err
    assert printed.err.count("\n") == 1
    assert printed.out == ""


def statements_of(text: str) -> list[str]:
    """As a client takes them: to the semicolon that ends a line, comments gone."""
    lines = [line for line in text.splitlines() if not line.startswith("--")]
    return [part.strip() for part in "\n".join(lines).strip().removesuffix(";").split(";\n\n")]
