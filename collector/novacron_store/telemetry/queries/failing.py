"""What agents currently fail to measure, by the errors they count themselves."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from clickhouse_connect.driver.client import Client

from novacron_contract.metrics import AGENT_SERVICE_NAME
from novacron_store.telemetry.client import contract_errors

_RECENT = timedelta(minutes=3)
_FAILING = """
SELECT entity, attributes['novacron.source'] AS source, max(value) - min(value) AS errors
FROM metrics_raw
WHERE metric = 'novacron.agent.scrape.errors' AND ts >= {start:DateTime64(3, 'UTC')}
GROUP BY entity, source
HAVING errors > 0 AND argMax(value, ts) > argMin(value, ts)
ORDER BY entity, source"""


@dataclass(frozen=True, slots=True)
class FailingSource:
    """`source` is what the agent could not read: host, or a provider such as kvm."""

    agent_id: str
    source: str
    errors: int  # within the last minutes


def failing_sources(client: Client, now: datetime) -> list[FailingSource]:
    """
    Raises:
        Unavailable: the store does not answer.
    """
    with contract_errors():
        rows = client.query(_FAILING, parameters={"start": now - _RECENT}).result_rows
    prefix = f"{AGENT_SERVICE_NAME}/"
    return [
        FailingSource(entity.removeprefix(prefix), source, int(errors))
        for entity, source, errors in rows
    ]
