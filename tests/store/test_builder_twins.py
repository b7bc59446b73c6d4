"""Where Prometheus has the same function, the builder says the same of the same samples.

Not compared: what PromQL extrapolates (rate, increase, delta); of these VictoriaMetrics' are the
twins, in bench/store.py. No sample lies on the border of a window, which either has at its other
end.
"""

from __future__ import annotations

import math
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import numpy as np
import pytest
from clickhouse_connect.driver.client import Client

from novacron_store.telemetry.builder import (
    Aggregate,
    All,
    Binary,
    Expression,
    How,
    Label,
    Over,
    Query,
    Scalar,
    Select,
    evaluate,
    label,
)
from novacron_store.telemetry.client import connect
from novacron_store.telemetry.migrations import migrate
from novacron_store.telemetry.rollups import Roller
from novacron_store.telemetry.writer import write
from store.batches import Line, at, batch
from store_process import free_port

NOON = 1_795_521_600  # 2026-11-24 12:00 UTC
BEGIN, END = NOON - 2 * 3600, NOON + 1800


def _lines() -> list[Line]:
    random = np.random.default_rng(5)
    lines = []
    for entity in ("vm-0", "vm-1", "vm-2"):
        for mode in ("user", "system"):
            times = np.arange(BEGIN, END, 15) + 0.25 + random.integers(0, 14)
            times = times[random.random(len(times)) > 0.2]
            values = np.round(50 * random.random(len(times)), 3)
            samples = [(float(t), float(v)) for t, v in zip(times, values, strict=True)]
            lines.append(Line("cpu", entity, samples, attributes={"mode": mode}))
    return lines


@pytest.fixture(scope="module")
def store_with_lines(engine_url: str) -> Iterator[Client]:
    client = connect(engine_url, database=f"novacron_{uuid4().hex}")
    migrate(client)
    write(client, batch(_lines()), "all", at(END))
    Roller(client).run(at(END - 300))
    yield client
    client.command(f"DROP DATABASE {client.database}", use_database=False)
    client.close()


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """With the same samples, imported."""
    folder: Path = tmp_path_factory.mktemp("prometheus")
    text = ["# TYPE cpu gauge"]
    for line in _lines():
        told = f'cpu{{entity="{line.entity}",mode="{line.attributes["mode"]}"}}'
        text += [f"{told} {value} {seconds}" for seconds, value in line.samples]
    (folder / "samples").write_text("\n".join([*text, "# EOF\n"]))
    (folder / "prometheus.yml").write_text("global: {}\n")
    create = ["promtool", "tsdb", "create-blocks-from", "openmetrics", "-q"]
    subprocess.run([*create, folder / "samples", folder / "data"], check=True)
    url = f"127.0.0.1:{free_port()}"
    command = ["prometheus", f"--config.file={folder / 'prometheus.yml'}",
               f"--storage.tsdb.path={folder / 'data'}", f"--web.listen-address={url}",
               "--storage.tsdb.retention.time=100y"]  # fmt: skip
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    with httpx.Client(base_url=f"http://{url}", timeout=60) as http:
        deadline = time.monotonic() + 60
        while not _ready(http):
            told = (folder / "log").read_text()
            assert process.poll() is None, told
            assert time.monotonic() < deadline, told
            time.sleep(0.1)
        yield http
    process.terminate()
    process.wait(60)


def _ready(http: httpx.Client) -> bool:
    try:
        return http.get("/-/ready").status_code == 200
    except httpx.TransportError:
        return False


def _cpu(over: Over, window: float = 300, **more: Any) -> Select:
    return Select("cpu", over, window=window, **more)


TWINS: list[tuple[str, Expression]] = [
    ("avg_over_time(cpu[5m])", _cpu(Over.AVG)),
    ("min_over_time(cpu[5m])", _cpu(Over.MIN)),
    ("max_over_time(cpu[1h])", _cpu(Over.MAX, 3600)),
    ("sum_over_time(cpu[2m])", _cpu(Over.SUM, 120)),
    ("count_over_time(cpu[5m])", _cpu(Over.COUNT)),
    ("last_over_time(cpu[5m])", _cpu(Over.LAST)),
    ("stddev_over_time(cpu[5m])", _cpu(Over.STDDEV)),
    ("quantile_over_time(0.9, cpu[5m])", _cpu(Over.QUANTILE, argument=0.9)),
    ("quantile_over_time(0.25, cpu[1m])", _cpu(Over.QUANTILE, 60, argument=0.25)),
    ("deriv(cpu[5m])", _cpu(Over.DERIVATIVE)),
    ("avg_over_time(cpu[5m] offset 10m)", _cpu(Over.AVG, offset=600)),
    ('avg_over_time(cpu{mode="user"}[5m])', _cpu(Over.AVG, where=label("mode", "user"))),
    ('avg_over_time(cpu{entity=~"vm-[01]",mode!="user"}[5m])',
     _cpu(Over.AVG, where=All((Label("entity", "=~", "vm-[01]"), Label("mode", "!=", "user"))))),
    ("sum by (mode) (avg_over_time(cpu[5m]))", Aggregate(How.SUM, _cpu(Over.AVG), ("mode",))),
    ("avg (max_over_time(cpu[5m]))", Aggregate(How.AVG, _cpu(Over.MAX))),
    ("max by (entity) (max_over_time(cpu[5m]))", Aggregate(How.MAX, _cpu(Over.MAX), ("entity",))),
    ("count by (nothing) (avg_over_time(cpu[1m]))",
     Aggregate(How.COUNT, _cpu(Over.AVG, 60), ("nothing",))),
    ("stddev by (mode) (avg_over_time(cpu[5m]))", Aggregate(How.STDDEV, _cpu(Over.AVG), ("mode",))),
    ("quantile by (mode) (0.7, avg_over_time(cpu[5m]))",
     Aggregate(How.QUANTILE, _cpu(Over.AVG), ("mode",), 0.7)),
    ("topk(2, avg_over_time(cpu[5m]))", Aggregate(How.TOP, _cpu(Over.AVG), argument=2)),
    ("bottomk by (mode) (1, avg_over_time(cpu[5m]))",
     Aggregate(How.BOTTOM, _cpu(Over.AVG), ("mode",), 1)),
    ("avg_over_time(cpu[5m]) * 3", Binary("*", _cpu(Over.AVG), Scalar(3))),
    ("max_over_time(cpu[5m]) - min_over_time(cpu[5m])",
     Binary("-", _cpu(Over.MAX), _cpu(Over.MIN))),
    ("avg_over_time(cpu[5m]) / avg_over_time(cpu[5m] offset 30m)",
     Binary("/", _cpu(Over.AVG), _cpu(Over.AVG, offset=1800))),
]  # fmt: skip


@pytest.mark.parametrize(("theirs", "ours"), TWINS, ids=[theirs for theirs, _ in TWINS])
@pytest.mark.parametrize("step", [60, 300])
def test_it_says_what_prometheus_says(
    store_with_lines: Client, prometheus: httpx.Client, theirs: str, ours: Expression, step: int
) -> None:
    start, end = BEGIN + 600, END
    answer = evaluate(store_with_lines, Query(ours, start, end, step))

    asked: dict[str, str | int] = {"query": theirs, "start": start, "end": end, "step": step}
    document = prometheus.get("/api/v1/query_range", params=asked).json()
    expected = {
        frozenset(line["metric"].items() - {("__name__", "cpu")}): {
            1000 * seconds: float(value) for seconds, value in line["values"]
        }
        for line in document["data"]["result"]
    }
    assert expected
    found = {
        frozenset(labels.items()): {
            time_ms: float(value)
            for time_ms, value in zip(answer.times.tolist(), row, strict=True)
            if not math.isnan(value)
        }
        for labels, row in zip(answer.labels, answer.values, strict=True)
    }
    assert found.keys() == expected.keys()
    for name, row in expected.items():
        assert found[name] == pytest.approx(row, rel=1e-9, abs=1e-9), dict(name)
