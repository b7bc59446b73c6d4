"""What is asked of both stores, ours by expressions and VictoriaMetrics in MetricsQL, and what both
must say. No sample lies on the border of a window, which either has at its other end.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any as Whatever

from novacron_store.telemetry.builder import (
    Aggregate,
    All,
    Any,
    Expression,
    How,
    Over,
    Query,
    Resolution,
    Select,
    label,
)
from store_fleet import SERIES, StoreFleet

# By what a line is of and its time in Unix seconds.
Answer = dict[tuple[str, float], float]
HOUR_MS, MINUTE_MS = 3_600_000, 60_000
WINDOWS = 60  # of the heat map

CPU = "system.cpu.utilization"
_USER = label("cpu.mode", "user")
_TAGGED = All((
    _USER,
    Any(tuple(label("service", name) for name in ("svc-01", "svc-07", "svc-20"))),
    label("deployment.environment", "prod"),
    Any((label("cloud.region", "fr-par"), label("team", "team-03"))),
))  # fmt: skip
_PEER_USER = 'system_cpu_utilization{cpu_mode="user"}'
_PEER_TAGGED = (
    'cpu_mode="user",service=~"svc-01|svc-07|svc-20",deployment_environment="prod"'
)  # fmt: skip


@dataclass(frozen=True)
class Peers:
    """A question to VictoriaMetrics: a path of its API, and parameters."""

    path: str
    parameters: dict[str, Whatever]


@dataclass(frozen=True)
class Questions:
    """About `span` milliseconds that end at `end` (Unix milliseconds), and of one host or all."""

    fleet: StoreFleet
    span: int
    end: int
    host: str

    @property
    def start(self) -> int:
        return self.end - self.span

    def ours(self, resolution: Resolution | None = None) -> dict[str, Query]:
        """`resolution` RAW: from samples, where buckets would say the same."""
        whole, minute, part = self.span / 1000, MINUTE_MS / 1000, self.span / WINDOWS / 1000
        metrics = tuple(sorted({name for name, *_ in SERIES}))
        host = label("entity", self.host)
        asked: dict[str, tuple[Expression, float]] = {
            "one_vm_all": (Select(metrics, where=host), minute),
            "top10": (Aggregate(How.TOP, Select(CPU, where=_USER), argument=10), whole),
            "heatmap": (Select(CPU, where=_USER), part),
            "p95": (Select(CPU, Over.QUANTILE, _USER, argument=0.95), whole),
            "rate": (Aggregate(How.SUM, Select("system.network.io", Over.RATE)), minute),
            "tags": (Aggregate(How.AVG, Select(CPU, where=_TAGGED)), minute),
        }
        return {
            name: Query(of, self.start / 1000 + step, self.end / 1000, step, resolution)
            for name, (of, step) in asked.items()
        }

    def peers(self) -> dict[str, Peers]:
        host = f'{{host_id="{self.host}"}}'
        part, whole = f"[{self.span // WINDOWS // 1000}s]", f"[{self.span // 1000}s]"
        region, team = (
            f"avg_over_time(system_cpu_utilization{{{_PEER_TAGGED},{tag}}}[1m])"
            for tag in ('cloud_region="fr-par"', 'team="team-03"')
        )
        return {
            "one_vm_raw": self._at(f"system_cpu_utilization{host}[1h]"),
            "one_vm_all": self._over(f"avg_over_time({host}[1m]) keep_metric_names", MINUTE_MS),
            "top10": self._at(f"topk(10, avg_over_time({_PEER_USER}{whole}))"),
            "heatmap": self._over(f"avg_over_time({_PEER_USER}{part})", self.span // WINDOWS),
            "p95": self._at(f"quantile_over_time(0.95, {_PEER_USER}{whole})"),
            "rate": self._over("sum(increase(system_network_io[1m])) / 60", MINUTE_MS),
            "tags": self._over(f"avg({region} or {team})", MINUTE_MS),
        }

    def _at(self, query: str) -> Peers:
        return Peers("query", {"query": query, "time": self.end / 1000})

    def _over(self, query: str, step: int) -> Peers:
        times = {"start": (self.start + step) / 1000, "end": self.end / 1000}
        return Peers("query_range", {"query": query, **times, "step": f"{step // 1000}s"})


OF_SERIES = ("one_vm_raw", "one_vm_all")  # the lines of the others are of a host, or of all


def peers_answer(fleet: StoreFleet, name: str, result: list[Mapping[str, Whatever]]) -> Answer:
    known = {
        frozenset(labels(of, tags).items()): str(fleet.ids[n, k])
        for n, tags in enumerate(fleet.tags)
        for k, of in enumerate(SERIES)
    }
    found: Answer = {}
    for line in result:
        told = line["metric"]
        whole = known.get(frozenset(told.items()), "unknown")
        what = whole if name in OF_SERIES else told.get("host_id", "all")
        for time, value in line.get("values") or [line["value"]]:
            found[what, float(time)] = float(value)
    return found


def labels(of: tuple[str, str, str, bool], tags: Mapping[str, str]) -> dict[str, str]:
    """A series as Prometheus names it."""
    metric, key, value, _ = of
    named = {**({key: value} if key else {}), **tags}
    return {
        "__name__": metric.replace(".", "_"),
        **{name.replace(".", "_"): text for name, text in named.items()},
    }
