"""What an operator sees on the terminal."""

from __future__ import annotations

import json
import re

import pytest

from cli.runs import Novacron
from fleet_samples import SampleFleet
from novacron_store.telemetry.writer import write
from store.histograms_oracle import Histogram, Told, batch
from store_process import StoreProcess


def test_status_counts_and_says_what_to_do(novacron: Novacron) -> None:
    ended = novacron("status")
    assert ended.code == 0
    assert "NovaCron 0.1.0, up 3 h\n" in ended.out
    assert "VMs     3 (2 fresh, 1 stale)\n" in ended.out
    assert re.search(r"Stored  [\d.]+ k? ?samples of \d+ series in [\d.]+ KiB; ", ended.out)
    assert "warning: The clock of kvm-b is 3 min 20 s behind" in ended.out


def test_host_list_shows_each_host(novacron: Novacron) -> None:
    lines = novacron("host", "list", "--sort", "name").out.splitlines()
    assert lines[0].split()[:4] == ["NAME", "NEWS", "VMS", "CPU"]
    assert lines[2].split()[:3] == ["kvm-a", "fresh", "2"]
    assert lines[3].split()[:3] == ["kvm-b", "stale", "1"]
    assert "1 min 40 s ago" in lines[3]


def test_vm_list_shows_values_with_units(novacron: Novacron, fleet: SampleFleet) -> None:
    ended = novacron("vm", "list", "--search", "db-1")
    row = re.split(r" {2,}", ended.out.splitlines()[2].strip())
    assert row == [
        *("db-1", "kvm-a", "running", "fresh", "25.0 % of 2", "1 GiB of 2 GiB"),
        *("1 kB/s", "500 B/s", "–", "–", "2 s ago", fleet.db),
    ]


def test_vm_list_filters_sorts_and_says_what_it_left_out(novacron: Novacron) -> None:
    ended = novacron("vm", "list", "--state", "running", "--sort", "-cpu_utilization", "--limit=1")
    assert "50.0 %" in ended.out
    assert "25.0 %" not in ended.out
    assert "1 of 2 VMs" in ended.out
    assert novacron("vm", "list", "--host", "nowhere").out.endswith("no VMs\n")


def test_vm_show_tells_everything(novacron: Novacron, fleet: SampleFleet) -> None:
    ended = novacron("vm", "show", fleet.web)
    assert "running fresh" in ended.out
    assert re.search(r"vm\.memory\.usage +1 GiB", ended.out)
    assert re.search(r"vm\.network\.io +network\.io\.direction=receive +576 KiB", ended.out)
    assert re.search(r"old-name +kvm-b", ended.out)


def test_query_draws_a_line(novacron: Novacron) -> None:
    ended = novacron("query", "vm.network.io", "--entity", "db-1", "--from", "-9m", "--to", "now")
    assert "vm.network.io from 20" in ended.out
    assert re.search(
        r"direction=receive +1 kB/s +1 kB/s +1 kB/s +1 kB/s +[▁▂▃▄▅▆▇█ ]{10,}", ended.out
    )
    filtered = novacron(
        *("query", "vm.network.io", "--entity", "db-1"),
        *("--filter", "network.io.direction=transmit"),
    )
    assert "receive" not in filtered.out


def test_query_of_nothing_says_so(novacron: Novacron) -> None:
    ended = novacron("query", "vm.network.io", "--entity", "idle-1")
    assert (ended.code, ended.out) == (0, "no values of vm.network.io for idle-1 in that time\n")


def test_query_of_many_series_shows_each(novacron: Novacron) -> None:
    ended = novacron("query", "vm.cpu.utilization", "--from", "-10m", "--step", "1m")
    assert re.search(r"^\d+ series every 1 min, from raw data$", ended.out, re.MULTILINE)
    assert re.search(r"entity=\S+ +0\.5 +0\.5 +0\.5 +0\.5", ended.out)


def test_query_puts_series_together_and_explains(novacron: Novacron) -> None:
    ended = novacron(
        *("query", "vm.network.io", "--over", "rate", "--window", "5m", "--step", "1m"),
        *("--sum-by", "network.io.direction", "--where", "entity=~.+"),
        *("--where", "network.io.direction!=transmit", "--from", "-10m", "--explain"),
    )
    assert "1 series every 1 min" in ended.out
    assert "network.io.direction=receive" in ended.out
    assert re.search(r"\d+ rows in [\d.]+ ms:\nSELECT", ended.out)


def test_query_shows_quantiles_of_histograms(
    novacron: Novacron, store_process: StoreProcess, fleet: SampleFleet
) -> None:
    metric, now = "rpc.server.duration", fleet.now.timestamp()
    told = [Told(now - 60 * back, now - 600, [3.0] * (10 - back), (1.0, 5.0)) for back in range(10)]
    client = store_process.service()
    write(client, batch([Histogram(metric, fleet.web, told)]), metric)
    client.close()

    ended = novacron("query", metric, "--histogram-quantile", "0.5", "--by", "entity", "--step=1m")
    assert re.search(rf"^entity={fleet.web} +3 +3 +3 +3 ", ended.out, re.MULTILINE)
    ended = novacron("query", metric, "--histogram-quantile", "1", "--entity", fleet.web)
    assert re.search(r"^all +5 +5 +5 +5 ", ended.out, re.MULTILINE)
    ended = novacron("query", metric, "--histogram-quantile", "1", "--over", "avg")
    assert "--over and --histogram-quantile do not go together" in ended.err
    assert "--by goes with --histogram-quantile" in novacron("query", metric, "--by", "x").err
    assert "ask for its histogram_quantile" in novacron("query", metric).err


def test_query_says_what_it_cannot_read(novacron: Novacron) -> None:
    ended = novacron("query", "m", "--where", "team")
    assert ended.code != 0
    assert "--where 'team': expected LABEL=VALUE" in ended.err
    assert "--step: expected a time" in novacron("query", "m", "--step", "5 minutes").err


def test_sql_prints_a_table(novacron: Novacron) -> None:
    ended = novacron("sql", "SELECT 1 AS one, 'a' AS letter, NULL AS nothing")
    assert [line.split() for line in ended.out.splitlines() if "─" not in line] == [
        ["one", "letter", "nothing"],
        ["1", "a", "NULL"],
    ]
    assert ended.err == "1 row\n"


def test_sql_takes_values_apart_from_the_statement(novacron: Novacron, fleet: SampleFleet) -> None:
    query = "SELECT count() AS n FROM samples WHERE entity = {vm:String} AND metric = 'vm.state'"
    ended = novacron("sql", query, "--set", f"vm={fleet.web}", "--format", "csv")
    assert ended.out == '"n"\n60\n'


def test_sql_other_forms(novacron: Novacron) -> None:
    assert novacron("sql", "SELECT 1 AS n, 'x' AS s", "--format=tsv").out == "n\ts\n1\tx\n"
    assert json.loads(novacron("sql", "SELECT 1 AS n", "--json").out)["rows"] == [[1]]


@pytest.mark.parametrize(
    "words",
    [
        ("status",),
        ("host", "list"),
        ("vm", "list"),
        ("vm", "show", "db-1"),
        ("query", "vm.cpu.utilization", "--entity", "db-1"),
    ],
)
def test_json_is_what_the_api_says(novacron: Novacron, words: tuple[str, ...]) -> None:
    ended = novacron(*words, "--json")
    assert ended.code == 0
    assert isinstance(json.loads(ended.out), dict)


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("vm", "show", "nobody"), 1, "novacron: no VM has the id or name 'nobody'\n"),
        (("sql", "SELEKT"), 1, "Syntax error"),
        (("sql", "SELECT {a:UInt8}", "--set", "a"), 2, "--set: expected NAME=VALUE, got 'a'"),
        (("query", "vm.state", "--entity", "x", "--from", "long"), 1, "from: expected a time"),
        (("vm", "list", "--sort", "colour"), 1, "sort: expected one of name, -name"),
        (("status", "--url", "ftp://x"), 2, "--url: expected http://HOST:PORT"),
        (("status", "--url", "http://127.0.0.1:1"), 3, "start it with `novacron up`"),
        (("status", "--url", "http://127.0.0.1:99999"), 3, "does not answer"),
    ],
)
def test_failures_are_one_line(
    novacron: Novacron, words: tuple[str, ...], code: int, message: str
) -> None:
    ended = novacron(*words)
    assert ended.code == code
    assert message in ended.err
    assert ended.err.count("\n") == 1
    assert ended.out == ""


@pytest.mark.parametrize("words", [(), ("vm",), ("dance",), ("vm", "list", "--state", "dancing")])
def test_wrong_usage_ends_with_2(novacron: Novacron, words: tuple[str, ...]) -> None:
    with pytest.raises(SystemExit) as ended:
        novacron(*words)
    assert ended.value.code == 2


@pytest.mark.parametrize(
    "words",
    [
        ("status",),
        ("host", "list"),
        ("vm", "list"),
        ("vm", "show"),
        ("query",),
        ("sql",),
        ("migrate",),
    ],
)
def test_every_command_helps_with_examples(
    novacron: Novacron, capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    with pytest.raises(SystemExit) as ended:
        novacron(*words, "--help")
    assert ended.value.code == 0
    assert f"examples:\n  novacron {' '.join(words)}" in capsys.readouterr().out
