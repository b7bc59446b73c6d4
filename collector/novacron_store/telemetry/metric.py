"""What is known of a metric."""

from __future__ import annotations

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
    rows = client.query(
        "SELECT metric, kind, temporality, monotonic, unit, description "
        f"FROM {schema.METRICS} WHERE metric = {{metric:String}} ORDER BY seen DESC LIMIT 1",
        parameters={"metric": metric},
    ).result_rows
    if not rows:
        raise NotFound(f"no metric {metric!r} was ever received")
    return MetricInfo(*rows[0])
