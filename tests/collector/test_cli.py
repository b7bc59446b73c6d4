"""novacron-collector: its settings, and what it says when it cannot work."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
import time
from dataclasses import fields
from pathlib import Path

import httpx
import pytest

from free_ports import free_port
from novacron_collector.forward.settings import ForwardSettings
from novacron_collector.settings import Settings
from novacron_contract.errors import ConfigError
from novacron_contract.settings import load
from store_process import StoreProcess

COMMAND = Path(sys.executable).with_name("novacron-collector")
SAMPLE = Path(__file__).parents[2] / "packaging" / "config" / "collector.toml"


def written(folder: Path, text: str) -> Path:
    path = folder / "collector.toml"
    path.write_text(text)
    return path


def settings_text(folder: Path, store: str, ports: tuple[int, int, int], password: str) -> str:
    (folder / "password").write_text(password)
    names = ("otlp_grpc", "otlp_http", "api")
    listen = [f'{n} = "127.0.0.1:{port}"' for n, port in zip(names, ports, strict=True)]
    listen.append(f'agents = "127.0.0.1:{free_port()}"')
    return "\n".join(
        [
            f'[telemetry]\nurl = "{store}"\npassword_file = "{folder}/password"',
            f'[state]\nurl = "sqlite:///{folder}/state.db"',
            f'[wal]\npath = "{folder}/wal"',
            *("[listen]", *listen),
        ]
    )


def run(config: Path) -> subprocess.CompletedProcess[str]:
    command = [str(COMMAND), "--config", str(config)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_the_sample_file_says_the_defaults(tmp_path: Path) -> None:
    uncommented = re.sub(r"^# (\w+ = )", r"\1", SAMPLE.read_text(), flags=re.MULTILINE)

    sample = load(written(tmp_path, uncommented), Settings)

    needed = f'[state]\nurl = "{sample.state.url}"\n[wal]\npath = "{sample.wal.path}"'
    plain = load(written(tmp_path, needed), Settings)
    assert load(SAMPLE, Settings).limits == plain.limits == sample.limits
    assert sample.retention == plain.retention
    assert sample.listen == plain.listen
    assert sample.wal == plain.wal
    assert sample.forward == plain.forward == ()
    assert sample.own_metrics == plain.own_metrics
    assert sample.telemetry.url == plain.telemetry.url
    every = set(re.findall(r"^(\w+) = ", uncommented, flags=re.MULTILINE))
    assert every >= set(names_of(plain)) - {"points"}, "the sample names every setting"


def test_the_sample_file_shows_a_destination_with_the_defaults(tmp_path: Path) -> None:
    """They are commented without a space, as they are not as it would be anyway."""
    shown = re.sub(r"^#(?=\[\[|\w+ = )", "", SAMPLE.read_text(), flags=re.MULTILINE)

    (sample,) = load(written(tmp_path, shown), Settings).forward

    plain = ForwardSettings(name="x", url="http://x")
    for name in ("compression", "timeout", "queue_size", "queue_age"):
        assert getattr(sample, name) == getattr(plain, name)
    table = shown.partition("[[forward]]")[2]
    every = re.findall(r"^(\w+) = ", table, flags=re.MULTILINE)
    assert sorted(every) == sorted(field.name for field in fields(ForwardSettings))


def names_of(settings: Settings) -> list[str]:
    tables = (settings.telemetry, settings.listen, settings.retention, settings.state, settings.wal)
    every = (*tables, settings.own_metrics, settings.limits, settings.limits.points)
    return [name for table in every for name in table.__dataclass_fields__]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "state: missing"),
        ('[state]\nurl = "x"', "wal: missing"),
        ('[state]\nurl = "x"\n[wal]\nsize = "1GiB"', "wal: path: missing"),
        ('[state]\nurl = "x"\n[wal]\npath = "w"\nsize = "1B"', "wal: size: must be at least"),
        (
            '[state]\nurl = "x"\n[wal]\npath = "w"\n[listen]\nport = 1',
            "listen: port: unknown; allowed: agents",
        ),
        (
            '[state]\nurl = "x"\n[wal]\npath = "w"\n[listen]\napi = "8440"',
            "listen: api: '8440': expected HOST:PORT",
        ),
        (
            '[state]\nurl = "x"\n[wal]\npath = "w"\n[tls]\ncert_file = "x"',
            "tls: cert_file and key_file: one needs the other",
        ),
        (
            '[state]\nurl = "x"\n[wal]\npath = "w"\n[tls]\nnames = ["a b"]',
            "tls: names: expected a name or an address, got 'a b'",
        ),
        (
            '[state]\nurl = "x"\n[wal]\npath = "w"\n[enrolment]\naddress = "no-port"',
            "enrolment: address: 'no-port': expected HOST:PORT",
        ),
        (
            '[state]\nurl = "x"\n[wal]\npath = "w"\n[limits]\nrequest = "1B"',
            "limits: request: must be at least",
        ),
        (
            '[state]\nurl = "x"\n[wal]\npath = "w"\n[limits.points]\nmax_ahead = "5"',
            "max_ahead: expected",
        ),
    ],
)
def test_a_wrong_setting_is_one_line_with_file_key_and_what_is_allowed(
    tmp_path: Path, text: str, says: str
) -> None:
    path = written(tmp_path, text)
    with pytest.raises(ConfigError) as refused:
        load(path, Settings)
    message = str(refused.value)
    assert message.startswith(f"{path}: ")
    assert says in message
    assert "\n" not in message


def test_a_port_in_use_ends_the_start_with_one_sentence(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ports = (taken.getsockname()[1], free_port(), free_port())
        config = written(tmp_path, settings_text(tmp_path, "http://127.0.0.1:1", ports, "secret"))

        ended = run(config)

    assert ended.returncode == 2
    assert ended.stderr == (
        f"novacron-collector: {config}: listen: otlp_grpc: 127.0.0.1:{ports[0]} is in use, perhaps "
        "by the same program started twice: stop the program that listens there, or set another "
        "address\n"
    )


def test_a_wrong_password_ends_the_start_and_is_not_repeated(
    tmp_path: Path, store_process: StoreProcess
) -> None:
    ports = (free_port(), free_port(), free_port())
    config = written(tmp_path, settings_text(tmp_path, store_process.url, ports, "not-the-one"))

    ended = run(config)

    assert ended.returncode == 2
    assert "check user and password_file under [telemetry]" in ended.stderr.splitlines()[-1]
    assert "not-the-one" not in ended.stderr


def test_it_starts_before_the_store_and_stops_when_asked(tmp_path: Path) -> None:
    ports = (free_port(), free_port(), free_port())
    nowhere = f"http://127.0.0.1:{free_port()}"
    config = written(tmp_path, settings_text(tmp_path, nowhere, ports, "secret"))
    command = [str(COMMAND), "--config", str(config)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        api, otlp = f"http://127.0.0.1:{ports[2]}", f"http://127.0.0.1:{ports[1]}/v1/metrics"
        wait_for(f"{api}/healthz")
        not_ready = httpx.get(f"{api}/readyz")
        at = str(time.time_ns())
        point = {"name": "m", "gauge": {"dataPoints": [{"asInt": 1, "timeUnixNano": at}]}}
        logged = httpx.post(
            otlp, json={"resourceMetrics": [{"scopeMetrics": [{"metrics": [point]}]}]}
        )
        status = httpx.get(f"{api}/v1/status").json()
        process.send_signal(signal.SIGTERM)
        log = process.communicate(timeout=30)[1]

    assert process.returncode == 0
    assert not_ready.status_code == 503
    assert "start novacron-store" in not_ready.json()["message"]
    assert logged.status_code == 200, "the log takes it until the store is there"
    assert "that senders were thanked for wait on disk" in status["notices"][0]["message"]
    assert log.count("start novacron-store") == 1, "a lasting problem is logged once"


def wait_for(url: str) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            httpx.get(url)
        except httpx.TransportError:
            time.sleep(0.1)
        else:
            return
    raise AssertionError(f"nothing answers at {url}")
