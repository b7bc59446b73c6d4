"""Whether the store holds what was acknowledged, once, and roll-ups that say the same."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import Any

from clickhouse_connect.driver.client import Client

from chaos.accounts import Account
from chaos.messages import COUNTER, METRICS

_RESOLUTIONS = {"metrics_5m": 300, "metrics_1h": 3600}
_SHOWN = 3  # times of points, in a violation that may be about thousands

_COUNTS = """
SELECT count(), uniqExact(series, ts), uniqExact(series) FROM samples
WHERE entity = {entity:String} AND metric = {metric:String}
"""
_SAMPLES = """
SELECT toUnixTimestamp64Milli(ts) AS at, value FROM samples
WHERE entity = {entity:String} AND metric = {metric:String} ORDER BY at
"""
_BUCKETS = """
SELECT toUnixTimestamp(t) AS at, count, min, max, sum, first, last, increase FROM {table}
WHERE entity = {{entity:String}} AND metric = {{metric:String}} ORDER BY at
"""

Sample = tuple[int, float]  # unix milliseconds, value
Bucket = tuple[float, ...]  # count, min, max, sum, first, last, increase


@dataclass(frozen=True, slots=True)
class Checked:
    """What was looked at, and every way in which it is not as promised."""

    samples: int
    buckets: int
    violations: tuple[str, ...]


def check(client: Client, accounts: Iterable[Account]) -> Checked:
    """Compare the store with the accounts. Everything must be written and rolled up before."""
    samples = buckets = 0
    violations: list[str] = []
    for account in accounts:
        violations += (f"{account.entity}: answered {text}" for text in account.wrong)
        for metric in METRICS:
            keys = {"entity": account.entity, "metric": metric}
            stored = [(row[0], row[1]) for row in _rows(client, _SAMPLES, keys)]
            found = [
                *_once(_rows(client, _COUNTS, keys)[0], account),
                *_as_sent(stored, account, metric),
            ]
            for table in _RESOLUTIONS:
                rows = _rows(client, _BUCKETS.format(table=table), keys)
                rolled = {int(row[0]): tuple(map(float, row[1:])) for row in rows}
                found += _as_rolled_up(table, stored, rolled, growing=metric == COUNTER)
                found += [f"{table} has a bucket twice"] if len(rolled) < len(rows) else []
                buckets += len(rows)
            samples += len(stored)
            violations += (f"{account.entity} {metric}: {text}" for text in found)
    return Checked(samples, buckets, tuple(violations))


def missing(client: Client, accounts: Iterable[Account]) -> int:
    """How many acknowledged points (of either metric) are not to be seen yet."""
    count = 0
    for account in accounts:
        for metric in METRICS:
            rows = _rows(client, _SAMPLES, {"entity": account.entity, "metric": metric})
            count += len(account.acked.difference(row[0] for row in rows))
    return count


def _once(counts: Sequence[int], account: Account) -> Iterator[str]:
    rows, distinct, series = counts
    if rows != distinct:
        yield f"{rows} rows of {distinct} points: some count twice"
    if series != (1 if account.acked else series):
        yield f"{series} series, where there is one"


def _as_sent(stored: Sequence[Sample], account: Account, metric: str) -> Iterator[str]:
    known = dict(stored)
    if lost := account.acked.difference(known):
        yield f"{len(lost)} acknowledged points are lost: {_some(lost)}"
    if invented := known.keys() - account.sent.keys():
        yield f"{len(invented)} points were never sent: {_some(invented)}"
    changed = {
        ts for ts, value in stored if ts in account.sent and value != account.sent[ts].value(metric)
    }
    if changed:
        yield f"{len(changed)} points have another value: {_some(changed)}"


def _as_rolled_up(
    table: str, stored: Sequence[Sample], rolled: dict[int, Bucket], *, growing: bool
) -> Iterator[str]:
    wanted = expected(stored, _RESOLUTIONS[table], growing=growing)
    for at in sorted(wanted.keys() | rolled.keys()):
        if wanted.get(at) != rolled.get(at):
            yield f"{table} at {at} says {rolled.get(at)}, its samples say {wanted.get(at)}"


def expected(stored: Sequence[Sample], width_s: int, *, growing: bool) -> dict[int, Bucket]:
    """The buckets that `stored` (in order of time) comes to.

    A counter grows by the step from the sample before, also over the border of a bucket; a smaller
    value is a restart from 0. The numbers are whole, so that sums are exact.
    """
    steps = {now[0]: _step(before[1], now[1]) for before, now in pairwise(stored)}
    buckets: dict[int, Bucket] = {}
    for number, group in groupby(stored, key=lambda sample: sample[0] // (width_s * 1000)):
        samples = list(group)
        values = [value for _, value in samples]
        grown = sum(steps.get(ts, 0.0) for ts, _ in samples) if growing else 0.0
        ends = (values[0], values[-1])
        buckets[number * width_s] = (
            float(len(values)), min(values), max(values), sum(values), *ends, grown
        )  # fmt: skip
    return buckets


def _step(before: float, now: float) -> float:
    return now if now < before else now - before


def _some(times: Iterable[int]) -> str:
    ordered = sorted(times)
    more = ", …" if len(ordered) > _SHOWN else ""
    return ", ".join(map(str, ordered[:_SHOWN])) + more


def _rows(client: Client, sql: str, parameters: dict[str, str]) -> Sequence[Sequence[Any]]:
    rows: Sequence[Sequence[Any]] = client.query(sql, parameters=parameters).result_rows
    return rows
