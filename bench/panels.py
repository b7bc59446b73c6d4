"""CPU of each panel's query over a fleet: 2,000 VMs x 25 series x 6 hours, rolled up.

Run it as `make bench-panels`. The database is in this process, so that its CPU time, what Python
does with the answers included, is what is measured. BENCH_VMS takes a smaller fleet.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from clickhouse_connect.driver.client import Client

from novacron_store.telemetry.client import connect
from novacron_store.telemetry.migrations import migrate
from novacron_store.telemetry.queries import (
    ChartQuery,
    catalog,
    chart,
    fleet_now,
    gaps,
    latest,
    silences,
    sparklines,
)
from novacron_store.telemetry.rollups import Roller
from novacron_store.telemetry.writer import write
from report import report
from synthetic import Fleet

BUDGET_MS = 150
_NOW = 1_795_523_400  # half past an hour: half of it is not rolled up into hours
_HOURS, _STEP_S, _BATCH_S, _LIVE_S = 6, 15, 300, 600


def fill(client: Client, vms: int, at: int = _NOW) -> None:
    """Six hours up to `at` (Unix seconds) in batches of 5 minutes, the newest ten minutes as they
    come in when live."""
    fleet = Fleet(vms, _STEP_S)
    now = datetime.fromtimestamp(at, UTC)
    write(client, fleet.describe(now), "fleet", now)
    start = at - _HOURS * 3600
    old = [_BATCH_S // _STEP_S] * ((_HOURS * 3600 - _LIVE_S) // _BATCH_S)
    for n, batch in enumerate(fleet.batches(start, old + [1] * (_LIVE_S // _STEP_S))):
        write(client, batch, f"{n}", datetime.fromtimestamp(start, UTC))
    Roller(client).run(now)


def panels(client: Client) -> dict[str, Callable[[], object]]:
    now = datetime.fromtimestamp(_NOW, UTC)
    ago = now - timedelta(hours=_HOURS)
    vm, cpu, network = "vm-00007", "vm.cpu.utilization", "vm.network.io"
    hour = now - timedelta(hours=1)
    return {
        "fleet_now": lambda: fleet_now(client, now),
        "sparklines_cpu": lambda: sparklines(client, cpu, ago, now),
        "sparklines_network": lambda: sparklines(client, network, ago, now),
        "sparklines_cpu_page_of_50": lambda: sparklines(
            client, cpu, ago, now, entities=[f"vm-{n:05d}" for n in range(50)]
        ),
        "chart_cpu_1h": lambda: chart(client, ChartQuery(cpu, vm, hour, now)),
        "chart_network_1h": lambda: chart(client, ChartQuery(network, vm, hour, now)),
        "chart_cpu_6h": lambda: chart(client, ChartQuery(cpu, vm, ago, now)),
        "chart_network_6h": lambda: chart(client, ChartQuery(network, vm, ago, now)),
        "latest": lambda: latest(client, vm, now),
        "silences_of_100": lambda: silences(
            client, [f"vm-{n:05d}" for n in range(100)], now, timedelta(minutes=1)
        ),
        "gaps_6h": lambda: gaps(client, ["novacron-agent/a"], ago, now),
        "catalog": lambda: catalog(client),
    }


def cpu_ms(ask: Callable[[], object], rounds: int = 5) -> float:
    """The median: the engine's background work shows up in single rounds."""
    spent = []
    for _ in range(rounds):
        before = time.process_time()
        ask()
        spent.append(time.process_time() - before)
    return sorted(spent)[rounds // 2] * 1000


def settle(client: Client) -> None:
    """Let merges finish: they are no panel's work."""
    while client.query("SELECT count() FROM system.merges").result_rows[0][0]:
        time.sleep(0.5)


def main() -> int:
    vms = int(os.environ.get("BENCH_VMS", "2000"))
    with tempfile.TemporaryDirectory(prefix="novacron-bench-") as folder:
        client = connect(f"chdb://{folder}")
        migrate(client)
        fill(client, vms)
        settle(client)
        figures = {f"{name}_cpu_ms": cpu_ms(ask) for name, ask in panels(client).items()}
        client.close()
    report("panels", {**figures, "vms": vms, "budget_ms": BUDGET_MS})
    return 1 if max(figures.values()) >= BUDGET_MS else 0


if __name__ == "__main__":
    sys.exit(main())
