"""Runs what is printed for a cluster where one process can: `python one_shard.py FOLDER` prints
what came of it, as JSON.

The embedded engine takes a configuration with a cluster of one shard, itself, and keeps replicas'
records in memory. It has no ON CLUSTER, and replicated tables cannot be written. So those are only
made, and the ones that are written have distributed tables in front of plain ones. An engine has
one configuration, and a process one engine: hence a process of its own.
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
from pathlib import Path

import clickhouse_connect
from clickhouse_connect.driver.client import Client

from novacron_store.telemetry.migrations import migrate
from novacron_store.telemetry.place import Place
from novacron_store.telemetry.retention import Retention
from novacron_store.telemetry.rollups import Roller
from novacron_store.telemetry.script import statements
from novacron_store.telemetry.writer import write
from store.batches import Line, at, batch, counter

_CONFIGURATION = """<clickhouse>
<tcp_port>9000</tcp_port>
<remote_servers><one><shard><replica>
    <host>127.0.0.1</host><port>9000</port>
</replica></shard></one></remote_servers>
<macros><shard>01</shard><replica>a</replica></macros>
<zookeeper><implementation>testkeeper</implementation></zookeeper>
</clickhouse>"""
_REPLICATED = re.compile(r"Replicated(\w+)\('[^']*', '\{replica\}'(?:, )?")


def _make(client: Client, database: str, replicated: bool) -> None:
    for statement in statements(Place(database, "one"), Retention()):
        here = statement.replace(" ON CLUSTER 'one'", "")
        if replicated and here.startswith("INSERT"):
            continue
        client.command(here if replicated else _REPLICATED.sub(r"\1(", here))


def _used(client: Client) -> dict[str, object]:
    hour = time.time() // 3600 * 3600 - 3600
    times = [hour + 60 * n for n in range(20)]
    lines = [
        Line("heat", "svc", [(time, 1.0) for time in times]),
        counter("sent", "vm-1", [(time, 10.0 * n) for n, time in enumerate(times)]),
    ]
    resources = {
        "svc": {"service.name": "shop"},
        "vm-1": {"vm.id": "vm-1", "vm.name": "web"},
    }
    for _ in range(2):
        write(client, batch(lines, resources), "again")
    arrived = client.command("SELECT count() FROM metrics_raw")
    rolled = Roller(client).run(at(hour + 7200))
    closed = "SELECT name, count(), sum(value) FROM metrics_raw GROUP BY name ORDER BY name"
    buckets = "SELECT sum(count), sum(increase) FROM metrics_5m WHERE metric = 'sent'"
    return {
        "arrived": arrived,
        "hours": rolled.hours,
        "closed": client.query(closed).result_rows,
        "buckets": client.query(buckets).result_rows,
    }


def main(folder: Path) -> None:
    configuration = folder / "config.xml"
    configuration.write_text(_CONFIGURATION)
    client = clickhouse_connect.get_client(
        interface="chdb",
        path=str(folder / "data"),
        chdb_options={"config-file": str(configuration)},
    )
    _make(client, "replicated", replicated=True)
    _make(client, "novacron", replicated=False)
    client.database = "novacron"
    migrate(client)
    engines = (
        "SELECT extract(engine, 'Replicated|Distributed|View') AS kind, count() FROM system.tables "
        "WHERE database = 'replicated' GROUP BY kind"
    )
    recorded = "SELECT number FROM data_migrations ORDER BY number"
    found = {
        "made": {row[0]: row[1] for row in client.query(engines).result_rows},
        "recorded": [row[0] for row in client.query(recorded).result_rows],
        **_used(client),
    }
    sys.stdout.write(json.dumps(found))
    sys.stdout.flush()
    os._exit(0)  # replicated tables would look for their keeper for a while


if __name__ == "__main__":
    main(Path(sys.argv[1]))
