"""What the operator should know and do, one sentence each, the worst first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from novacron_contract.units import duration, readable
from novacron_store.state import Freshness
from novacron_store.telemetry.queries import FailingSource
from novacron_store.telemetry.usage import Usage

LOW_DISK_SHARE = 0.10
FULL_DISK_SHARE = 0.02
_NAMED = 5  # machines in one sentence
_WHAT = {"host": "the machine's own figures", "kvm": "its VMs: check that libvirtd runs there"}

Rows = Sequence[Mapping[str, Any]]


class Severity(StrEnum):
    CRITICAL = "critical"
    WARNING = "warning"
    INFO = "info"


@dataclass(frozen=True, slots=True)
class Notice:
    severity: Severity
    message: str


def notices(
    hosts: Rows,
    agents: Rows,
    stored: Usage | None,
    problem: str,
    failing: Sequence[FailingSource] = (),
    counters: Mapping[str, float] = MappingProxyType({}),
    more: Sequence[Notice] = (),
) -> list[Notice]:
    """`problem` says why `stored` is not known, or why nothing can be written;
    `more` is what others noticed."""
    every = [
        *_store(stored, problem + _waiting(counters) if problem else ""),
        *_set_aside(counters),
        *_dead_letters(counters),
        *_clocks(agents),
        *more,
        *_failing(agents, failing),
        *_silent(hosts),
        *_nobody(hosts, agents),
    ]
    order = list(Severity)
    return sorted(every, key=lambda notice: order.index(notice.severity))


def _store(stored: Usage | None, problem: str) -> list[Notice]:
    if stored is None:
        return [Notice(Severity.CRITICAL, f"Nothing can be stored or shown: {problem}")]
    if problem:
        return [Notice(Severity.CRITICAL, f"Nothing can be stored: {problem}")]
    share = stored.disk_free / max(stored.disk_total, 1)
    if share >= LOW_DISK_SHARE:
        return []
    free = f"{readable(stored.disk_free, 'By')} of {readable(stored.disk_total, 'By')}"
    if share < FULL_DISK_SHARE:
        return [
            Notice(Severity.CRITICAL, f"The store's disk is full ({free} free): free space now")
        ]
    message = f"The store's disk is getting full ({free} free): free space, or keep data shorter"
    return [Notice(Severity.WARNING, message)]


def _waiting(counters: Mapping[str, float]) -> str:
    size = counters.get("wal_bytes", 0)
    return f"; {readable(size, 'By')} that senders were thanked for wait on disk" if size else ""


def _set_aside(counters: Mapping[str, float]) -> list[Notice]:
    count = int(counters.get("wal_set_aside", 0))
    if not count:
        return []
    message = (
        f"{count} damaged {'segment' if count == 1 else 'segments'} of the write-ahead log in its "
        "folder set-aside; all that could be read of it is stored: check the disk, then delete it"
    )
    return [Notice(Severity.WARNING, message)]


def _dead_letters(counters: Mapping[str, float]) -> list[Notice]:
    count = int(counters.get("dead_letters", 0))
    if not count:
        return []
    message = (
        f"The collector failed on {count} {'request' if count == 1 else 'requests'} again and "
        "again and refuses them now; they are in dead-letters in the folder of the write-ahead "
        "log: please report them, then delete them"
    )
    return [Notice(Severity.WARNING, message)]


def _clocks(agents: Rows) -> list[Notice]:
    wrong = [row for row in agents if row["clock_is_wrong"] and row["freshness"] != Freshness.GONE]
    return [
        Notice(
            Severity.WARNING,
            f"The clock of {row['host']['name']} is {_off(row['clock_offset_s'])}: its points are "
            "stored at the wrong time; check its time synchronisation (timedatectl)",
        )
        for row in wrong[:_NAMED]
    ]


def _failing(agents: Rows, failing: Sequence[FailingSource]) -> list[Notice]:
    names = {row["id"]: row["host"]["name"] for row in agents}
    return [
        Notice(
            Severity.WARNING,
            f"The agent of {names[source.agent_id]} cannot read "
            f"{_WHAT.get(source.source, source.source)}; the agent's log says why",
        )
        for source in failing
        if source.agent_id in names
    ][:_NAMED]


def _off(offset_s: float) -> str:
    return f"{duration(abs(offset_s))} {'ahead' if offset_s > 0 else 'behind'}"


def _silent(hosts: Rows) -> list[Notice]:
    silent = [row for row in hosts if row["freshness"] != Freshness.FRESH]
    if not silent:
        return []
    named = ", ".join(
        f"{row['name']} (for {duration(row['seen_age_s'])})" for row in silent[:_NAMED]
    )
    more = f" and {len(silent) - _NAMED} more" if len(silent) > _NAMED else ""
    message = f"No news from {named}{more}: check the agent there and the network to it"
    return [Notice(Severity.WARNING, message)]


def _nobody(hosts: Rows, agents: Rows) -> list[Notice]:
    if hosts or agents:
        return []
    message = "Nobody reports yet: start novacron-agent, or send OTLP to port 4317 or 4318"
    return [Notice(Severity.INFO, message)]
