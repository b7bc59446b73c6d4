"""What is known of a metric."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from clickhouse_connect.driver.client import Client

from novacron_contract.errors import NotFound
from novacron_store.telemetry import schema


@dataclass(frozen=True, slots=True)
class MetricInfo:
    metric: str
    kind: str
    temporality: str
    monotonic: bool
    unit: str
    description: str

    @property
    def is_counter(self) -> bool:
        """Shown as a rate: it only grows, or it tells how much was added."""
        return self.kind == "sum" and (self.monotonic or self.temporality == "delta")


def metric_info(client: Client, metric: str) -> MetricInfo:
    """What is known of `metric`.

    Raises:
        NotFound: nobody ever sent it.
    """
    return metric_infos(client, [metric])[0]


def metric_infos(client: Client, metrics: Sequence[str]) -> list[MetricInfo]:
    """What is known of each.

    Raises:
        NotFound: nobody ever sent one of them.
    """
    rows = client.query(
        "SELECT metric, kind, temporality, monotonic, unit, description "
        f"FROM {schema.METRICS} WHERE metric IN {{metrics:Array(String)}} "
        "ORDER BY seen DESC LIMIT 1 BY metric",
        parameters={"metrics": list(metrics)},
    ).result_rows
    known = {row[0]: MetricInfo(*row) for row in rows}
    for metric in metrics:
        if metric not in known:
            raise NotFound(f"no metric {metric!r} was ever received")
    return [known[metric] for metric in metrics]
