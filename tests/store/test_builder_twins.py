"""Where Prometheus has the same function, the builder says the same of the same samples.

Not compared: what PromQL extrapolates (rate, increase, delta); of these VictoriaMetrics' are the
twins, in bench/store.py. Of histograms it extrapolates all buckets alike, where all are told at the
same times and a window begins with what the one before ended with. No sample lies on the border of
a window, which either has at its other end, and no quantile on the border of two buckets, where a
rounding error decides.
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

from free_ports import free_port
from noon import NOON
from novacron_store.telemetry.builder import (
    Aggregate,
    All,
    Binary,
    Expression,
    HistogramQuantile,
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
from store.histograms_oracle import Histogram, Told
from store.histograms_oracle import batch as batch_of_histograms

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


BOUNDS = (0.1, 0.2, 0.5, 1.0, 2.5)
IN_BUCKETS = [0.05, 0.15, 0.3, 0.7, 2.0, 9.0]  # a value in each


def _histograms() -> list[Histogram]:
    """Four samples a minute: between the last of one and the first of the next nothing happens, so
    that what Prometheus leaves out is nothing. It counts from so much that no bucket began lately,
    and each series restarts in the middle of a minute."""
    random = np.random.default_rng(6)
    found = []
    for entity in ("vm-0", "vm-1"):
        for route in ("/a", "/b"):
            values, since, told = IN_BUCKETS * 500, 0.0, []
            restart = BEGIN + 60 * int(random.integers(12, 30)) + 35
            for at_s in range(BEGIN + 5, BEGIN + 2405, 15):
                if at_s == restart:
                    values, since = IN_BUCKETS * 200, at_s - 1.0
                elif at_s % 60 != 5:
                    values = [*values, *random.choice(IN_BUCKETS, int(random.integers(0, 4)))]
                told.append(Told(at_s, since, values, BOUNDS))
            found.append(Histogram("latency", entity, told, attributes={"route": route}))
    return found


def _buckets() -> Iterator[str]:
    """As Prometheus has them."""
    yield "# TYPE latency_bucket gauge"
    for one in _histograms():
        for bound in (*BOUNDS, math.inf):
            told = f'entity="{one.entity}",route="{one.attributes["route"]}",le="{bound:g}"'
            for sample in one.told:
                count = sum(value <= bound for value in sample.values)
                yield f"latency_bucket{{{told.replace('inf', '+Inf')}}} {count} {sample.time}"


@pytest.fixture(scope="module")
def store_with_lines(engine_url: str) -> Iterator[Client]:
    client = connect(engine_url, database=f"novacron_{uuid4().hex}")
    migrate(client)
    write(client, batch(_lines()), "all", at(END))
    write(client, batch_of_histograms(_histograms()), "histograms", at(END))
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
    (folder / "samples").write_text("\n".join([*text, *_buckets(), "# EOF\n"]))
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
    ("histogram_quantile(0.93, sum by (le) (rate(latency_bucket[5m])))",
     HistogramQuantile("latency", 0.93, window=300)),
    ("histogram_quantile(0.51, sum by (le, entity) (rate(latency_bucket[1m])))",
     HistogramQuantile("latency", 0.51, by=("entity",), window=60)),
    ("histogram_quantile(0.99, rate(latency_bucket[5m] offset 10m))",
     HistogramQuantile("latency", 0.99, by=("entity", "route"), window=300, offset=600)),
    ('max(histogram_quantile(0.13, sum by (le, route) (rate(latency_bucket{entity="vm-0"}[2m]))))',
     Aggregate(How.MAX, HistogramQuantile("latency", 0.13, label("entity", "vm-0"), ("route",),
                                          120))),
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
