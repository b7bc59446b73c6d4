"""Which resolutions there are, and where each of them begins and ends."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from clickhouse_connect.driver.client import Client

from novacron_store.telemetry import schema
from novacron_store.telemetry.room import written
from novacron_store.telemetry.samples import Borders


class Resolution(StrEnum):
    RAW = "raw"
    FIVE_MINUTES = "5m"
    HOUR = "1h"

    @property
    def seconds(self) -> int:
        return {"raw": 1, "5m": 300, "1h": 3600}[self.value]


@dataclass(frozen=True, slots=True)
class Begins:
    """Where each resolution begins, in Unix seconds; 0: it has nothing."""

    first_raw: int
    first_5m: int
    first_1h: int


@dataclass(frozen=True, slots=True)
class Progress:
    """Where each resolution ends, and begins."""

    borders: Borders
    begins: Begins


def progress(client: Client) -> Progress:
    return Progress(borders(client), begins(client))


def borders(client: Client) -> Borders:
    resolutions = (schema.WINDOW_S, schema.HOUR_S, schema.REVISED)
    columns = (f"toUnixTimestamp(maxIf(upto, resolution = {one}))" for one in resolutions)
    found = client.query(f"SELECT {', '.join(columns)} FROM {schema.ROLLED}").result_rows[0]
    return Borders(*found)


def revise(client: Client) -> None:
    """Tell readers who hold closed hours that some are other ones now. To be called after whatever
    writes or drops rows of these: what is read before that has an older revision, then.

    Several may call it at once. They may record the same revision, but each a larger one than was
    known when its own rows had changed.
    """
    newest = (
        f"SELECT toUnixTimestamp(max(upto)) FROM {schema.ROLLED} "
        f"WHERE resolution = {schema.REVISED}"
    )
    known = client.query(newest).result_rows[0][0]
    at = datetime.fromtimestamp(max(int(time.time()), known + 1), UTC)
    with written(client):
        client.insert(schema.ROLLED, [[schema.REVISED, at]], ["resolution", "upto"])


def begins(client: Client) -> Begins:
    """Costs twice what `borders` does, and moves once an hour, when the oldest expires."""
    blocks, windows, arrivals, first_5m, first_1h = client.query(
        f"""SELECT (SELECT toUnixTimestamp(min(hour)) FROM {schema.BLOCKS}),
            (SELECT toUnixTimestamp(min(t)) FROM {schema.WINDOWS}),
            (SELECT toUnixTimestamp(min(ts)) FROM {schema.ARRIVALS}),
            (SELECT toUnixTimestamp(min(hour)) FROM {schema.BUCKETS_5M}),
            (SELECT toUnixTimestamp(min(t)) FROM {schema.BUCKETS_1H})"""
    ).result_rows[0]
    return Begins(_first(blocks, windows) or arrivals, _first(first_5m, windows), first_1h)


def _first(*times: int) -> int:
    """The smallest of those that are there at all."""
    return min(filter(None, times), default=0)
