"""A month of hours: buckets before what is there, and what questions about it cost."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from functools import partial

from clickhouse_connect.driver.client import Client

from merges import wait_for_merges
from novacron_store.telemetry import schema
from novacron_store.telemetry.builder import (
    Aggregate,
    All,
    Answer,
    Binary,
    Expression,
    How,
    Index,
    Over,
    Query,
    Select,
    evaluate,
    label,
)
from store_beside import A_ROUND, ROUNDS
from store_machines import Machines
from store_questions import CPU, USER
from store_servers import Store, spent

_DAYS = 30


def add_days(client: Client, machines: Machines) -> None:
    """Thirty days of one-hour buckets before what is there, made of one of its hours."""
    hour = machines.start // 1000 + 3600
    columns = (
        "metric, class, entity, series, version, count, min, max, sum, first, last, grown, carried"
    )
    client.command(
        f"INSERT INTO {schema.BUCKETS_1H} ({columns}, sketch, retention, t) "
        f"SELECT {columns}, sketch, retention, t - toIntervalHour(n) "
        f"FROM {schema.BUCKETS_1H} FINAL ARRAY JOIN range(2, {_DAYS * 24}) AS n "
        f"WHERE t = toDateTime({hour}, 'UTC')"
    )
    client.command(f"OPTIMIZE TABLE {schema.BUCKETS_1H} FINAL")
    wait_for_merges(client)


def long_ago(store: Store, machines: Machines) -> dict[str, float]:
    """A month of one machine, and of all of them: average and maximum of each hour."""
    end, index = machines.end / 1000, Index()
    start = end - _DAYS * 86400 + 3600
    hosts = [tags["host.id"] for tags in machines.tags]

    def asked(of: Expression) -> Answer:
        return evaluate(store.client, Query(of, start, end, 3600), index)

    def one(n: int) -> Callable[[], object]:
        host = label("entity", hosts[n * 7 % len(hosts)])
        return partial(asked, Select(CPU, where=All((USER, host))))

    def every() -> None:
        total, count = (
            Aggregate(How.SUM, Select(CPU, over, USER)) for over in (Over.SUM, Over.COUNT)
        )
        asked(Binary("/", total, count))
        asked(Aggregate(How.MAX, Select(CPU, Over.MAX, USER)))

    questions: dict[str, Sequence[Callable[[], object]]] = {
        "vm": [one(n) for n in range(A_ROUND)],
        "fleet": [every] * 3,
    }
    return {
        f"q_30d_{name}_ms": statistics.median(
            spent(store.process, ask, True) for _ in range(ROUNDS)
        )
        for name, ask in questions.items()
    }
