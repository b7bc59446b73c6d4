"""Which resolutions there are, and where each of them begins and ends."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from clickhouse_connect.driver.client import Client

from novacron_store.telemetry import schema
from novacron_store.telemetry.samples import Borders


class Resolution(StrEnum):
    RAW = "raw"
    FIVE_MINUTES = "5m"
    HOUR = "1h"

    @property
    def seconds(self) -> int:
        return {"raw": 1, "5m": 300, "1h": 3600}[self.value]


@dataclass(frozen=True, slots=True)
class Progress:
    """Where each resolution ends, and begins (Unix seconds; 0: nowhere)."""

    borders: Borders
    first_raw: int
    first_5m: int
    first_1h: int


def progress(client: Client) -> Progress:
    gathered, closed, blocks, windows, arrivals, first_5m, first_1h = client.query(
        f"""SELECT toUnixTimestamp(maxIf(upto, resolution = {schema.WINDOW_S})),
            toUnixTimestamp(maxIf(upto, resolution = {schema.HOUR_S})),
            (SELECT toUnixTimestamp(min(hour)) FROM {schema.BLOCKS}),
            (SELECT toUnixTimestamp(min(t)) FROM {schema.WINDOWS}),
            (SELECT toUnixTimestamp(min(ts)) FROM {schema.ARRIVALS}),
            (SELECT toUnixTimestamp(min(hour)) FROM {schema.BUCKETS_5M}),
            (SELECT toUnixTimestamp(min(t)) FROM {schema.BUCKETS_1H})
        FROM {schema.ROLLED}"""
    ).result_rows[0]
    first_raw = _first(blocks, windows) or arrivals
    return Progress(Borders(gathered, closed), first_raw, _first(first_5m, windows), first_1h)


def _first(*times: int) -> int:
    """The smallest of those that are there at all."""
    return min(filter(None, times), default=0)
