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
    Filter,
    How,
    Over,
    Query,
    Resolution,
    Select,
    label,
)
from store_machines import Described, labels

# By what a line is of and its time in Unix seconds.
Answer = dict[tuple[str, float], float]
HOUR_MS, MINUTE_MS = 3_600_000, 60_000

CPU = "system.cpu.utilization"
USER = label("cpu.mode", "user")


@dataclass(frozen=True)
class Words:
    """What machines call what is asked of them, and the same for the peer.

    `tagged` is a filter of machines' tags; the peer has two selectors for it, one or the other.
    """

    cpu: str
    of_cpu: Filter
    peer_cpu: str
    traffic: Expression
    peer_traffic: str
    tagged: Filter
    peer_tagged: tuple[str, str]


_OF_FLEET = 'cpu_mode="user",service=~"svc-01|svc-07|svc-20",deployment_environment="prod"'
FLEETS = Words(
    cpu=CPU,
    of_cpu=USER,
    peer_cpu='system_cpu_utilization{cpu_mode="user"}',
    traffic=Select("system.network.io", Over.RATE),
    peer_traffic="increase(system_network_io[{step}s]) / {step}",
    tagged=All((
        USER,
        Any(tuple(label("service", name) for name in ("svc-01", "svc-07", "svc-20"))),
        label("deployment.environment", "prod"),
        Any((label("cloud.region", "fr-par"), label("team", "team-03"))),
    )),
    peer_tagged=(f'{_OF_FLEET},cloud_region="fr-par"', f'{_OF_FLEET},team="team-03"'),
)  # fmt: skip
_OF_TRACES = 'host_cores=~"1|2|4"'
TRACES = Words(  # they have no counters: traffic is told by the second
    cpu="vm.cpu.percent",
    of_cpu=All(),
    peer_cpu="vm_cpu_percent",
    traffic=Select("vm.network.rate"),
    peer_traffic="avg_over_time(vm_network_rate[{step}s])",
    tagged=All((
        Any(tuple(label("host.cores", cores) for cores in "124")),
        Any((label("host.memory", "2"), label("host.cores", "2"))),
    )),
    peer_tagged=(f'{_OF_TRACES},host_memory="2"', f'{_OF_TRACES},host_cores="2"'),
)  # fmt: skip


@dataclass(frozen=True)
class Spans:
    """In milliseconds: of a question, of one for samples as they are, of a point of a line, and of
    a column of the heat map."""

    whole: int
    raw: int
    step: int
    column: int


@dataclass(frozen=True)
class Peers:
    """A question to VictoriaMetrics: a path of its API, and parameters."""

    path: str
    parameters: dict[str, Whatever]


@dataclass(frozen=True)
class Questions:
    """About a span of time that ends at `end` (Unix milliseconds), and of one host or all."""

    machines: Described
    words: Words
    spans: Spans
    end: int
    host: str

    @property
    def start(self) -> int:
        return self.end - self.spans.whole

    def ours(self, resolution: Resolution | None = None) -> dict[str, Query]:
        """`resolution` RAW: from samples, where buckets would say the same."""
        words, spans = self.words, self.spans
        metrics = tuple(sorted({name for name, *_ in self.machines.series}))
        cpu, host = Select(words.cpu, where=words.of_cpu), label("entity", self.host)
        p95 = Select(words.cpu, Over.QUANTILE, words.of_cpu, argument=0.95)
        asked: dict[str, tuple[Expression, int]] = {
            "one_vm_all": (Select(metrics, where=host), spans.step),
            "top10": (Aggregate(How.TOP, cpu, argument=10), spans.whole),
            "heatmap": (cpu, spans.column),
            "p95": (p95, spans.whole),
            "rate": (Aggregate(How.SUM, words.traffic), spans.step),
            "tags": (Aggregate(How.AVG, Select(words.cpu, where=words.tagged)), spans.step),
        }
        return {
            name: Query(of, (self.start + step) / 1000, self.end / 1000, step / 1000, resolution)
            for name, (of, step) in asked.items()
        }

    def peers(self) -> dict[str, Peers]:
        cpu, spans, host = self.words.peer_cpu, self.spans, f'{{host_id="{self.host}"}}'
        raw, step, column, whole = (
            f"[{ms // 1000}s]" for ms in (spans.raw, spans.step, spans.column, spans.whole)
        )
        metric = self.words.cpu.replace(".", "_")
        one, other = (f"avg_over_time({metric}{{{tags}}}{step})" for tags in self.words.peer_tagged)
        traffic = self.words.peer_traffic.format(step=spans.step // 1000)
        return {
            "one_vm_raw": self._at(f"{metric}{host}{raw}"),
            "one_vm_all": self._over(f"avg_over_time({host}{step}) keep_metric_names", spans.step),
            "top10": self._at(f"topk(10, avg_over_time({cpu}{whole}))"),
            "heatmap": self._over(f"avg_over_time({cpu}{column})", spans.column),
            "p95": self._at(f"quantile_over_time(0.95, {cpu}{whole})"),
            "rate": self._over(f"sum({traffic})", spans.step),
            "tags": self._over(f"avg({one} or {other})", spans.step),
        }

    def _at(self, query: str) -> Peers:
        return Peers("query", {"query": query, "time": self.end / 1000})

    def _over(self, query: str, step: int) -> Peers:
        times = {"start": (self.start + step) / 1000, "end": self.end / 1000}
        return Peers("query_range", {"query": query, **times, "step": f"{step // 1000}s"})


OF_SERIES = ("one_vm_raw", "one_vm_all")  # the lines of the others are of a host, or of all


def peers_answer(machines: Described, name: str, result: list[Mapping[str, Whatever]]) -> Answer:
    known = {
        frozenset(labels(of, tags).items()): str(machines.ids[n, k])
        for n, tags in enumerate(machines.tags)
        for k, of in enumerate(machines.series)
    }
    found: Answer = {}
    for line in result:
        told = line["metric"]
        whole = known.get(frozenset(told.items()), "unknown")
        what = whole if name in OF_SERIES else told.get("host_id", "all")
        for time, value in line.get("values") or [line["value"]]:
            found[what, float(time)] = float(value)
    return found
