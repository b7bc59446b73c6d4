"""The questions that the API and the UI ask, each answered from the cheapest data that can."""

from novacron_store.telemetry.metric import MetricInfo
from novacron_store.telemetry.progress import Resolution
from novacron_store.telemetry.queries.agents import Gap, Silence, gaps, gaps_since, silences
from novacron_store.telemetry.queries.catalog import LatestValue, catalog, latest
from novacron_store.telemetry.queries.charts import Aggregate, Chart, ChartQuery, Line, chart
from novacron_store.telemetry.queries.failing import FailingSource, failing_sources
from novacron_store.telemetry.queries.fleet import FleetRow, fleet_now
from novacron_store.telemetry.queries.quantiles import QUANTILE, quantiles
from novacron_store.telemetry.queries.services import Figure, Service, figures, services
from novacron_store.telemetry.queries.sparklines import sparklines

__all__ = [
    "QUANTILE",
    "Aggregate",
    "Chart",
    "ChartQuery",
    "FailingSource",
    "Figure",
    "FleetRow",
    "Gap",
    "LatestValue",
    "Line",
    "MetricInfo",
    "Resolution",
    "Service",
    "Silence",
    "catalog",
    "chart",
    "failing_sources",
    "figures",
    "fleet_now",
    "gaps",
    "gaps_since",
    "latest",
    "quantiles",
    "services",
    "silences",
    "sparklines",
]
