"""Ingest as it is: novacron-collector and novacron-store as processes, gzipped OTLP over HTTP.

The time of both counts, from the first request until every point is in a committed row and
ClickHouse has nothing left to merge. No window becomes due in the meantime, so roll-ups do not
count; what they cost is the figure `ours_with_rollups`.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from clickhouse_connect.driver.client import Client

from ingest_requests import COUNTED, MAX_AHEAD, POINTS, SCRAPE, SCRAPES
from load import send
from merges import wait_for_merges
from novacron_store.telemetry import schema
from novacron_store.telemetry.client import connect
from program import Program, free_port, running

SECRET = "bench"
_COMMIT_S = 120  # after the last answer, at most


@dataclass(frozen=True, slots=True)
class Ingest:
    """Both processes, and where they listen."""

    store: Program
    collector: Program
    sql: Client
    otlp: str
    url: str  # of the store
    start_store: Callable[[], Program]  # again, where it ended


def measure(size: str, scrapes: Path, folder: Path) -> dict[str, float]:
    """Figures by name for requests of one size; `folder` is empty and stays behind."""
    with ingesting(folder) as ingest:
        send_scrapes(ingest, scrapes, 0, 1)
        wait_for_merges(ingest.sql)
        store, collector = ingest.store.cpu_s(), ingest.collector.cpu_s()
        send_scrapes(ingest, scrapes, 1, SCRAPES)
        wait_for_merges(ingest.sql)
        store, collector = ingest.store.cpu_s() - store, ingest.collector.cpu_s() - collector
        peak = ingest.collector.peak_mb()
        _check(ingest.sql)
    return {
        f"http_{size}points_per_cpu_s": COUNTED / (store + collector),
        f"http_{size}collector_points_per_cpu_s": COUNTED / collector,
        f"http_{size}store_points_per_cpu_s": COUNTED / store,
        f"collector_{size}rss_mb": peak,
    }


OURS = "entity LIKE 'vm-%'"  # the collector reports of itself, too


def send_scrapes(ingest: Ingest, scrapes: Path, first: int, last: int) -> None:
    """Send scrapes `first` to `last` - 1, and return when they are committed."""
    send_requests(ingest, scrapes, first, last)
    wait_until_committed(ingest.sql, last)


def send_requests(ingest: Ingest, scrapes: Path, first: int, last: int) -> None:
    """Return when they are acknowledged."""
    send(f"{ingest.otlp}/v1/metrics", "application/x-protobuf", scrapes, first, last)


def wait_until_committed(sql: Client, scrapes: int) -> None:
    """As many points as so many scrapes have."""
    deadline = time.monotonic() + _COMMIT_S
    while _rows(sql) < scrapes * SCRAPE:
        if time.monotonic() > deadline:
            raise SystemExit(f"\n{_rows(sql)} of {scrapes * SCRAPE} points were committed")
        time.sleep(0.5)  # an answer costs the store 10 ms


def _rows(sql: Client) -> int:
    counted = f"SELECT sum(length(numbers)) FROM {schema.ARRIVALS} WHERE {OURS}"
    return int(sql.query(counted).result_rows[0][0])


def _check(sql: Client) -> None:
    """Every point once, and no roll-up among what was measured."""
    stored = sql.query(f"SELECT count() FROM samples WHERE {OURS}").result_rows[0][0]
    assert stored == POINTS, f"{stored} points of {POINTS} are stored"
    rolled = sql.query(f"SELECT count() FROM {schema.BUCKETS_5M} WHERE {OURS}").result_rows[0][0]
    assert not rolled, f"{rolled} buckets were rolled up meanwhile"


@contextmanager
def ingesting(folder: Path) -> Iterator[Ingest]:
    """A store and a collector that work in `folder`, which is empty."""
    store, grpc, http, api = (f"127.0.0.1:{free_port()}" for _ in range(4))
    (folder / "password").write_text(SECRET)
    _write_config(folder, store, grpc, http, api)
    with ExitStack() as stores:

        def start_store() -> Program:
            ready = f"http://{store}/ping"
            return stores.enter_context(running(_command("store", folder), ready, folder))

        first = start_store()
        with running(_command("collector", folder), f"http://{api}/readyz", folder) as collector:
            sql = connect(f"http://{store}", user="service", password=SECRET)
            yield Ingest(first, collector, sql, f"http://{http}", f"http://{store}", start_store)
            sql.close()


def _write_config(folder: Path, store: str, grpc: str, http: str, api: str) -> None:
    password = f'"{folder}/password"'
    (folder / "store.toml").write_text(
        f'[store]\npath = "{folder}/data"\nlisten = "{store}"\n'
        f"service_password_file = {password}\nreader_password_file = {password}\n"
    )
    (folder / "collector.toml").write_text(
        f'[telemetry]\nurl = "http://{store}"\npassword_file = {password}\n'
        f'[state]\nurl = "sqlite:///{folder}/state.db"\n[wal]\npath = "{folder}/wal"\n'
        f'[listen]\notlp_grpc = "{grpc}"\notlp_http = "{http}"\napi = "{api}"\n'
        f'agents = "127.0.0.1:0"\n'
        f'[limits.points]\nmax_ahead = "{MAX_AHEAD}"\n'
    )


def _command(role: str, folder: Path) -> list[str]:
    program = Path(sys.executable).with_name(f"novacron-{role}")
    return [str(program), "--config", str(folder / f"{role}.toml")]
