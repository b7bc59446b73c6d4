"""What is asked of both stores: ours in SQL, VictoriaMetrics in MetricsQL, and what both must say.

A window ends at its time and leaves out its begin, as PromQL has them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from store_fleet import SERIES, StoreFleet

# By what a line is of and its time in Unix seconds.
Answer = dict[tuple[str, float], float]
HOUR_MS, MINUTE_MS = 3_600_000, 60_000
WINDOWS = 60  # of the heat map

_CPU = "system.cpu.utilization"
_USER = (
    f"metric = '{_CPU}' AND series IN (SELECT series FROM series WHERE metric = '{_CPU}' "
    "AND attributes['cpu.mode'] = 'user')"
)
_TAGGED = """entity IN (
    SELECT entity FROM entities WHERE resource['service'] IN ('svc-01', 'svc-07', 'svc-20')
    AND resource['deployment.environment'] = 'prod'
    AND (resource['cloud.region'] = 'fr-par' OR resource['team'] = 'team-03'))"""
_PEER_USER = 'system_cpu_utilization{cpu_mode="user"}'
_PEER_TAGGED = (
    'cpu_mode="user",service=~"svc-01|svc-07|svc-20",deployment_environment="prod"'
)  # fmt: skip


@dataclass(frozen=True)
class Peers:
    """A question to VictoriaMetrics: a path of its API, and parameters."""

    path: str
    parameters: dict[str, Any]


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

    def ours(self) -> dict[str, str]:
        user, host = self._rows(_USER), f"entity = '{self.host}'"
        raw = self._rows(f"metric = '{_CPU}' AND {host}", self.end - HOUR_MS)
        minute, part = self._window(MINUTE_MS), self._window(self.span // WINDOWS)
        milliseconds = "toUnixTimestamp64Milli(ts)"
        return {
            "one_vm_raw": f"SELECT toString(series), {milliseconds} / 1000, value {raw}",
            "one_vm_all": f"SELECT toString(series) AS s, {minute}, avg(value) {self._rows(host)} "
            "GROUP BY s, t",
            "top10": f"SELECT entity, {self.end / 1000}, avg(value) AS mean {user} "
            "GROUP BY entity ORDER BY mean DESC LIMIT 10",
            "heatmap": f"SELECT entity, {part}, avg(value) {user} GROUP BY entity, t",
            "p95": f"SELECT entity, {self.end / 1000}, quantileExactInclusive(0.95)(value) {user} "
            "GROUP BY entity",
            "rate": self._growth(),
            "tags": f"""SELECT 'all', t, avg(mean) FROM (
                SELECT entity, {minute}, avg(value) AS mean
                {self._rows(f"{_USER} AND {_TAGGED}")} GROUP BY entity, t) GROUP BY t""",
        }

    def _growth(self) -> str:
        """From sample to sample of each series; the first step is from the sample before."""
        rows = self._rows("metric = 'system.network.io'", self.start - MINUTE_MS)
        return f"""SELECT 'all', {self._window(MINUTE_MS)}, sum(step) / 60 FROM (
            SELECT ts, if(value < before, value, value - before) AS step,
                lagInFrame(value, 1, value) OVER (PARTITION BY series ORDER BY ts
                    ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) AS before
            {rows}) WHERE ts > fromUnixTimestamp64Milli({self.start}) GROUP BY t"""

    def _rows(self, where: str, start: int | None = None) -> str:
        first = self.start if start is None else start
        return (
            f"FROM samples WHERE {where} AND ts > fromUnixTimestamp64Milli({first}) "
            f"AND ts <= fromUnixTimestamp64Milli({self.end}) "
            f"AND hour >= toStartOfHour(toDateTime({first // 1000}, 'UTC'))"
        )

    def _window(self, step: int) -> str:
        """The time of a sample's window, in Unix seconds."""
        number = f"intDiv(toUnixTimestamp64Milli(ts) - 1 - {self.start}, {step})"
        return f"({self.start} + ({number} + 1) * {step}) / 1000 AS t"

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


def peers_answer(fleet: StoreFleet, name: str, result: list[Mapping[str, Any]]) -> Answer:
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
