"""[[metrics]]: what is sent, and how often."""

from __future__ import annotations

import fnmatch
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from novacron_agent.cli import main
from novacron_agent.readings import Reading
from novacron_agent.selection import MetricRule, Selection
from novacron_agent.settings import Settings
from novacron_contract.errors import ConfigError
from novacron_contract.settings import parse
from otlp_receiver import Receiver, otlp_receiver

S = 10**9


def selection(*rules: dict[str, Any]) -> Selection:
    return Selection([MetricRule(**rule) for rule in rules])


def reading(at_s: float, *names: str, host: str = "h") -> Reading:
    one = Reading({"host.id": host, "host.name": host}, int(at_s * S), 5)
    for name in names:
        one.add(name, at_s)
    return one


def names(readings: list[Reading]) -> list[str]:
    return [sample.metric.name for reading in readings for sample in reading.samples]


def written(place: Path, rules: str, endpoint: str = "http://127.0.0.1:9") -> Path:
    path = place / "agent.toml"
    agent = f'[agent]\nid_file = "{place}/agent-id"\ninterval = "1s"\nendpoint = "{endpoint}"\n'
    path.write_text(agent + rules)
    return path


def sent(receiver: Receiver) -> Counter[str]:
    return Counter(
        metric.name
        for one in receiver.accepted
        for resource in one.message.resource_metrics
        for metric in resource.scope_metrics[0].metrics
    )


def test_a_receiver_gets_what_is_asked_for(tmp_path: Path) -> None:
    rules = (
        '[[metrics]]\nmatch = "system.*"\nenabled = false\n'
        '[[metrics]]\nmatch = "system.uptime"\n'
        '[[metrics]]\nmatch = "novacron.agent.*"\nevery = "1h"\n'
    )
    with otlp_receiver() as there:
        path = written(tmp_path, rules, there.url)
        command = [sys.executable, "-m", "novacron_agent", "--config", str(path)]
        with subprocess.Popen(command, stderr=subprocess.DEVNULL) as agent:
            try:
                there.wait_for(4, timeout=20)
            finally:
                agent.kill()

    got = sent(there)
    assert got["system.uptime"] >= 3
    assert {name for name in got if name.startswith("system.")} == {"system.uptime"}
    assert 1 <= got["novacron.agent.scrape.errors"] <= 2  # 2 where an hour began just now
    assert got["process.memory.usage"] >= 3


def test_once_shows_what_would_be_sent(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rules = '[[metrics]]\nmatch = "*"\nenabled = false\n[[metrics]]\nmatch = "system.uptime"\n'

    assert main(["--config", str(written(tmp_path, f"{rules}every = '1h'\n")), "--once"]) == 0

    shown = capsys.readouterr().out
    assert "system.uptime" in shown
    assert "system.memory" not in shown


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ("match = 'system.netwrok.*'", "metrics: 1: match: no metric of the agent is named"),
        ("match = ''", 'metrics: 1: match: expected a name such as "system.network.*"'),
        ("match = 'sys[tem'", "metrics: 1: match: expected a name such as"),
        ("match = '" + "*" * 201 + "'", "metrics: 1: match: expected a name such as"),
        ("enabled = false", "metrics: 1: match: missing"),
        ("match = '*'\nevery = '0s'", "metrics: 1: every: must be at least 1, got 0"),
        ("match = '*'\nevery = '2d'", "metrics: 1: every: must be at most 86400"),
        (
            "match = '*'\nenabled = false\nevery = '5s'",
            "metrics: 1: either enabled = false or every",
        ),
    ],
)
def test_a_mistake_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], rule: str, message: str
) -> None:
    path = written(tmp_path, f"[[metrics]]\n{rule}\n")

    assert main(["--config", str(path)]) == 2

    errors = capsys.readouterr().err
    assert f"{path}: {message}" in errors
    assert errors.count("\n") == 1


def test_a_pattern_that_would_take_for_ever_does_not() -> None:
    started = time.monotonic()
    with pytest.raises(ConfigError):
        parse({"metrics": [{"match": "*a" * 99 + "!"}]}, Settings, where="x")
    with pytest.raises(ConfigError):
        parse({"metrics": [{"match": "*a" * 99}]}, Settings, where="x")
    assert time.monotonic() - started < 2


def test_nothing_is_touched_without_a_rule_for_it() -> None:
    untouched = [reading(1, "system.uptime"), reading(1, "system.cpu.logical.count")]

    assert selection().of(untouched) is untouched
    assert selection({"match": "vm.*", "enabled": False}).of(untouched)[0] is untouched[0]


def test_once_in_a_minute_for_each_series_of_each_machine() -> None:
    chosen = selection({"match": "system.uptime", "every": 60.0})
    got = []
    for tick in range(60):
        at = tick * 10 + (-1) ** tick * 0.4 + 3  # never on time
        both = [reading(at, "system.uptime", host=host) for host in ("a", "b")]
        got += [r.time_ns // (60 * S) for r in chosen.of(both) if r.series]

    assert got == [minute for minute in range(10) for _ in "ab"]


def test_a_change_is_sent_at_once() -> None:
    chosen = selection({"match": "vm.*", "every": 3600.0})
    for at in (1, 2, 3):
        one = Reading({"vm.id": "v"}, at * S)
        one.add("vm.cpu.time", at)
        assert names(chosen.of([one], rarely=False)) == ["vm.cpu.time"]


def test_a_state_that_was_left_is_always_told() -> None:
    chosen = selection({"match": "vm.*", "every": 3600.0})
    for at in (1, 2, 3):
        one = Reading({"vm.id": "v"}, at * S)
        one.add("vm.state", at % 2, {"vm.state": "running"})
        assert names(chosen.of([one])) == ["vm.state"]


def test_machines_that_are_gone_are_forgotten() -> None:
    chosen = selection({"match": "system.uptime", "every": 60.0})
    for tick in range(300):
        at = tick * 60.0
        chosen.of([reading(at, "system.uptime", host=f"{tick}-{n}") for n in range(100)])

    assert len(chosen._sent) < 12_000


RULES = st.lists(
    st.fixed_dictionaries(
        {
            "match": st.sampled_from(["*", "system.*", "*.uptime", "system.uptime", "vm.*"]),
            "enabled": st.booleans(),
        }
    )
)


@given(RULES, st.lists(st.sampled_from(["system.uptime", "vm.memory.limit", "vm.cpu.time"])))
def test_the_last_rule_that_matches_counts(rules: list[dict[str, Any]], given: list[str]) -> None:
    def is_sent(name: str) -> bool:
        said = [rule["enabled"] for rule in rules if fnmatch.fnmatchcase(name, rule["match"])]
        return said[-1] if said else True

    one = reading(7, *given)
    [left] = selection(*rules).of([one])

    assert names([left]) == [name for name in names([one]) if is_sent(name)]
    assert (left.time_ns, left.start_ns, left.resource) == (7 * S, 5, one.resource)
    assert left.values == [7] * len(left.series)
