"""The store beside VictoriaMetrics: the same samples, the same questions, CPU, and bytes on disk.

Run it as `make bench-store`. 500 hosts x 25 series x 6 hours every 15 seconds are written to a
novacron-store process and rolled up as time goes by, and imported into VictoriaMetrics. Each
question is asked of both in turn, of another host each time; CPU is that of both processes, the
client's here with ours. The answers must be equal. BENCH_MACHINES takes a smaller fleet.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import statistics
import sys
import tempfile
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from clickhouse_connect.driver.client import Client

from merges import wait_for_merges
from novacron_store.telemetry import schema
from novacron_store.telemetry.builder import (
    Aggregate,
    All,
    Binary,
    Expression,
    How,
    Index,
    Over,
    Query,
    Resolution,
    Samples,
    Select,
    evaluate,
    label,
    samples,
)
from novacron_store.telemetry.builder import Answer as Evaluated
from novacron_store.telemetry.client import connect
from novacron_store.telemetry.migrations import migrate
from novacron_store.telemetry.rollups import Roller
from novacron_store.telemetry.writer import LATENESS_S, write
from program import Program, free_port, running
from report import report
from store_fleet import SERIES, STEP_MS, TICKS, StoreFleet
from store_questions import (
    CPU,
    HOUR_MS,
    OF_SERIES,
    Answer,
    Peers,
    Questions,
    labels,
    peers_answer,
)

_SECRET = "bench"
_PEER = "victoria-metrics"
_ROUNDS, _A_ROUND = 5, 10  # times that a question is asked, each of another host
_BATCH = 4  # ticks that are written together: 50,000 samples of 500 hosts
_IMPORT = 40  # ticks of a request to the peer
_SAMPLE_DAYS = 30


def main() -> int:
    fleet = StoreFleet(int(os.environ.get("BENCH_MACHINES", "500")), _start())
    with tempfile.TemporaryDirectory(prefix="novacron-bench-") as folder:
        figures = _measure(fleet, Path(folder))
    report("store", figures)
    return 0


def _start() -> int:
    """A whole hour, such that the fleet's last one is over for some minutes."""
    now = int(time.time() * 1000) - 600_000
    return now // HOUR_MS * HOUR_MS - TICKS * STEP_MS


def _measure(fleet: StoreFleet, folder: Path) -> dict[str, float]:
    with _store(folder) as (store, client), _victoria(folder) as (peer, url):
        figures = {"write_samples_per_cpu_s": _fill(client, store, fleet)}
        figures |= _bytes(client, fleet.samples)
        _import(url, fleet)
        figures["bytes_per_sample_vm"] = _size(folder / "peer") / fleet.samples
        figures |= _asked(fleet, client, store, url, peer)
        _add_days(client, fleet)
        figures |= _long_ago(fleet, client, store)
    return figures


# -- writing -----------------------------------------------------------------------------------


def _fill(client: Client, store: Program, fleet: StoreFleet) -> float:
    """Samples per CPU second of writing them, rolling them up, and all that follows from it."""
    migrate(client)
    write(client, fleet.describe(), "fleet", datetime.fromtimestamp(fleet.start / 1000, UTC))
    batches = list(fleet.batches(_BATCH))
    used = _Used(store)
    for end, batch in batches:
        at = datetime.fromtimestamp(end, UTC)
        write(client, batch, str(end), at)
        if end % 300 == 0:
            Roller(client).run(datetime.fromtimestamp(end + LATENESS_S, UTC))
    Roller(client).run(datetime.fromtimestamp(batches[-1][0] + 600, UTC))
    wait_for_merges(client)
    return fleet.samples / (used.ms() / 1000)


def _bytes(client: Client, samples: int) -> dict[str, float]:
    """On disk, when parts are merged; arrivals that are still there do not count."""
    for table in (schema.BLOCKS, schema.TIMES, schema.BUCKETS_5M, schema.BUCKETS_1H):
        client.command(f"OPTIMIZE TABLE {table} FINAL")
    rows = client.query(
        "SELECT table, sum(bytes_on_disk) FROM system.parts "
        "WHERE active AND database = currentDatabase() GROUP BY table"
    ).result_rows
    sizes: dict[str, int] = {row[0]: row[1] for row in rows}
    raw = sizes[schema.BLOCKS] + sizes[schema.TIMES]
    rolled = sizes[schema.BUCKETS_5M] + sizes[schema.BUCKETS_1H]
    return {
        "bytes_per_sample": raw / samples,
        "bytes_per_sample_total": (raw + rolled) / samples,
    }


def _import(url: str, fleet: StoreFleet) -> None:
    for first in range(0, TICKS, _IMPORT):
        last = first + _IMPORT
        lines = [
            json.dumps({
                "metric": labels(of, tags),
                "values": fleet.values[first:last, n, k].tolist(),
                "timestamps": fleet.times[first:last, n].tolist(),
            })
            for n, tags in enumerate(fleet.tags)
            for k, of in enumerate(SERIES)
        ]  # fmt: skip
        _get(f"{url}/api/v1/import", "\n".join(lines).encode())
    _get(f"{url}/internal/force_flush")
    _get(f"{url}/internal/force_merge")
    time.sleep(10)


def _size(folder: Path) -> int:
    """Of its data and its index."""
    files = (path for part in ("data", "indexdb") for path in (folder / part).rglob("*"))
    return sum(path.stat().st_size for path in files if path.is_file())


# -- asking ------------------------------------------------------------------------------------


def _asked(
    fleet: StoreFleet, client: Client, store: Program, url: str, peer: Program
) -> dict[str, float]:
    figures: dict[str, float] = {}
    span = TICKS * STEP_MS
    sets = [
        Questions(fleet, span, fleet.end, fleet.tags[n * 7 % fleet.machines]["host.id"])
        for n in range(_A_ROUND)
    ]
    index = Index()
    for name in sets[0].peers():
        for suffix, resolution in (("", None), ("_from_samples", Resolution.RAW)):
            if suffix and name != "top10":
                continue  # asked of samples anyway
            ours = [partial(_ours, client, fleet, asked, name, resolution, index) for asked in sets]
            peers = [partial(_peers, url, asked.peers()[name]) for asked in sets]
            for asked, mine, other in zip(sets, ours, peers, strict=True):
                _compare(
                    name, _answer(fleet, asked, name, mine()), peers_answer(fleet, name, other())
                )
            spent = [
                (_spent(store, ours, True), _spent(peer, peers, False)) for _ in range(_ROUNDS)
            ]
            ms, of_peer = (statistics.median(of) for of in zip(*spent, strict=True))
            figures[f"q_{name}{suffix}_ms"] = ms
            figures[f"q_{name}{suffix}_vm_ms"] = of_peer
            figures[f"q_{name}{suffix}_ratio_to_vm"] = ms / of_peer
    return figures


def _ours(
    client: Client,
    fleet: StoreFleet,
    asked: Questions,
    name: str,
    resolution: Resolution | None,
    index: Index,
) -> Evaluated | Samples:
    """Within the index's ten seconds the series of a metric are known, as the peer knows them."""
    if name == "one_vm_raw":
        end = asked.end / 1000
        return samples(client, [CPU], end - 3600, end, label("entity", asked.host), index)
    return evaluate(client, asked.ours(resolution)[name], index)


def _answer(fleet: StoreFleet, asked: Questions, name: str, found: Evaluated | Samples) -> Answer:
    """By what a line is of, and time, as the peer's."""
    known = {
        (tags["host.id"], metric, value): str(fleet.ids[n, k])
        for n, tags in enumerate(fleet.tags)
        for k, (metric, _, value, _) in enumerate(SERIES)
    }
    answer: Answer = {}
    for row, told in enumerate(found.labels):
        what = told.get("entity", "all")
        if name in OF_SERIES:
            own = [value for label_, value in told.items() if label_ not in ("entity", "metric")]
            what = known[what, told.get("metric", CPU), "".join(own)]
        times = found.times[row] if isinstance(found, Samples) else found.times
        for time_ms, value in zip(times.tolist(), found.values[row].tolist(), strict=True):
            if not math.isnan(value):
                answer[what, time_ms / 1000] = value
    return answer


def _peers(url: str, asked: Peers) -> list[Any]:
    text = urllib.parse.urlencode({**asked.parameters, "nocache": 1})
    answer = json.loads(_get(f"{url}/api/v1/{asked.path}?{text}"))
    result: list[Any] = answer["data"]["result"]
    return result


def _compare(name: str, ours: Answer, peers: Answer) -> None:
    """The first window of a rate has no sample before it here, and one there, or the other way."""
    begin = min(time for _, time in ours)
    keys = {key for key in {*ours, *peers} if name != "rate" or key[1] > begin}
    wrong = [
        key for key in keys
        if not math.isclose(ours.get(key, math.nan), peers.get(key, math.nan),
                            rel_tol=1e-9, abs_tol=1e-12)
    ]  # fmt: skip
    if wrong:
        key = wrong[0]
        raise SystemExit(
            f"\n{name}: {len(wrong)} of {len(keys)} values differ, at {key}: "
            f"{ours.get(key)}, the peer says {peers.get(key)}"
        )


def _add_days(client: Client, fleet: StoreFleet) -> None:
    """Thirty days of one-hour buckets before what is there, made of one of its hours."""
    hour = fleet.start // 1000 + 3600
    columns = (
        "metric, class, entity, series, version, count, min, max, sum, first, last, grown, carried"
    )
    client.command(
        f"INSERT INTO {schema.BUCKETS_1H} ({columns}, sketch, retention, t) "
        f"SELECT {columns}, sketch, retention, t - toIntervalHour(n) "
        f"FROM {schema.BUCKETS_1H} FINAL ARRAY JOIN range(2, {_SAMPLE_DAYS * 24}) AS n "
        f"WHERE t = toDateTime({hour}, 'UTC')"
    )
    client.command(f"OPTIMIZE TABLE {schema.BUCKETS_1H} FINAL")
    wait_for_merges(client)


def _long_ago(fleet: StoreFleet, client: Client, store: Program) -> dict[str, float]:
    """A month of one machine, and of all of them: average and maximum of each hour."""
    end, index = fleet.end / 1000, Index()
    start = end - _SAMPLE_DAYS * 86400 + 3600
    user = label("cpu.mode", "user")

    def asked(of: Expression) -> Evaluated:
        return evaluate(client, Query(of, start, end, 3600), index)

    def one(n: int) -> Callable[[], object]:
        host = label("entity", fleet.tags[n * 7 % fleet.machines]["host.id"])
        return partial(asked, Select(CPU, where=All((user, host))))

    def every() -> None:
        total, count = (
            Aggregate(How.SUM, Select(CPU, over, user)) for over in (Over.SUM, Over.COUNT)
        )
        asked(Binary("/", total, count))
        asked(Aggregate(How.MAX, Select(CPU, Over.MAX, user)))

    questions: dict[str, Sequence[Callable[[], object]]] = {
        "vm": [one(n) for n in range(_A_ROUND)],
        "fleet": [every] * 3,
    }
    return {
        f"q_30d_{name}_ms": statistics.median(_spent(store, ask, True) for _ in range(_ROUNDS))
        for name, ask in questions.items()
    }


class _Used:
    """CPU of a server and, with `client`, of this process, since it was made."""

    def __init__(self, server: Program, client: bool = True) -> None:
        self._server = server
        self._client = client
        self._began = self._now()

    def ms(self) -> float:
        return self._now() - self._began

    def _now(self) -> float:
        mine = time.process_time() * 1000 if self._client else 0.0
        return mine + self._server.cpu_ms()


def _spent(server: Program, ask: Sequence[Callable[[], object]], with_client: bool) -> float:
    """Milliseconds for one question."""
    used = _Used(server, with_client)
    for question in ask:
        question()
    return used.ms() / len(ask)


# -- processes ---------------------------------------------------------------------------------


@contextmanager
def _store(folder: Path) -> Iterator[tuple[Program, Client]]:
    address = f"127.0.0.1:{free_port()}"
    (folder / "password").write_text(_SECRET)
    password = f'"{folder}/password"'
    config = folder / "store.toml"
    config.write_text(
        f'[store]\npath = "{folder}/data"\nlisten = "{address}"\n'
        f"service_password_file = {password}\nreader_password_file = {password}\n"
    )
    program = Path(sys.executable).with_name("novacron-store")
    url = f"http://{address}"
    with running([str(program), "--config", str(config)], f"{url}/ping", folder) as process:
        client = connect(url, user="service", password=_SECRET, timeout=600)
        yield process, client
        client.close()


@contextmanager
def _victoria(folder: Path) -> Iterator[tuple[Program, str]]:
    program = shutil.which(_PEER)
    if program is None:
        raise SystemExit(f"\nthe peer is not installed: apt-get install {_PEER}")
    address = f"127.0.0.1:{free_port()}"
    command = [
        program, f"-storageDataPath={folder}/peer", f"-httpListenAddr={address}",
        "-retentionPeriod=2", "-search.latencyOffset=0s", "-search.disableCache",
    ]  # fmt: skip
    url = f"http://{address}"
    with running(command, f"{url}/health", folder) as process:
        yield process, url


def _get(url: str, body: bytes | None = None) -> str:
    with urllib.request.urlopen(url, body, timeout=300) as answer:
        return str(answer.read().decode())


if __name__ == "__main__":
    sys.exit(main())
