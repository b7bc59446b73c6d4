"""`novacron-agent status`: what the agent said at its last tick, for people and for programs."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from novacron_agent.enrolment.membership import Membership, read_membership
from novacron_agent.status.file import as_json, read_status
from novacron_agent.status.status import (
    CommandsStatus,
    DestinationStatus,
    SourceStatus,
    Status,
)
from novacron_contract.errors import ConfigError, Unavailable
from novacron_contract.units import readable


def show(path: Path, identity: Path, *, json_wanted: bool) -> int:
    """0 while the agent runs. `identity`: the folder of what it got when it joined."""
    try:
        status = read_status(path)
    except Unavailable as err:
        sys.stderr.write(f"novacron-agent: {err}\n")
        return 1
    now = time.time()
    joined = _membership(identity)
    trouble = status.trouble(now)
    if json_wanted:
        document = {**json.loads(as_json(status)), "running": not trouble, **_as_json(joined)}
        sys.stdout.write(json.dumps(document, indent=2) + "\n")
    else:
        sys.stdout.write("".join(f"{line}\n" for line in _lines(status, trouble, now)))
        sys.stdout.write(f"{_joined(joined, now)}\n")
    return 1 if trouble else 0


def _lines(status: Status, trouble: str, now: float) -> Iterator[str]:
    if trouble:
        yield f"{trouble}. What it said last:"
    since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(status.started))
    yield f"novacron-agent {status.version}, agent {status.agent_id}"
    yield f"process {status.pid}, running since {since}"
    yield f"last tick {now - status.tick:.0f} s ago, one every {status.interval:g} s"
    share = "" if status.cpu_share is None else f", {status.cpu_share:.1%} of a CPU"
    yield f"takes {readable(status.memory, 'By')}{share}"
    for source in status.sources:
        yield from _source(source)
    for there in status.destinations:
        yield from _destination(there)
    if status.commands is not None:
        yield from _commands(status.commands)


def _membership(folder: Path) -> Membership | str | None:
    """Or why it cannot be read."""
    try:
        return read_membership(folder)
    except ConfigError as err:
        return str(err)


def _joined(joined: Membership | str | None, now: float) -> str:
    if joined is None:
        return "has joined no collector"
    if isinstance(joined, str):
        return f"identity: {joined}"
    ends = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(joined.ends))
    verb = "holds until" if now < joined.ends else "ENDED"
    return f"joined {joined.url}: certificate {joined.serial[:16]} {verb} {ends}"


def _as_json(joined: Membership | str | None) -> dict[str, object]:
    if not isinstance(joined, Membership):
        return {}
    told = {"url": joined.url, "serial": joined.serial, "begins": joined.begins}
    return {"identity": {**told, "ends": joined.ends}}


def _source(source: SourceStatus) -> Iterator[str]:
    took = "" if source.seconds is None else f"{source.seconds:.3f} s, "
    stuck = f", guests without an answer: {source.stuck}" if source.stuck else ""
    yield f"source {source.name}: {took}{source.errors} errors{stuck}"
    if source.trouble:
        yield f"  now: {source.trouble}"


def _destination(there: DestinationStatus) -> Iterator[str]:
    waits = f"{there.batches} batches wait ({readable(there.bytes, 'By')} on disk"
    waits += f", the oldest for {there.age:.0f} s)" if there.batches else ")"
    points = f"{there.delivered} points delivered, {there.refused} refused, {there.lost} lost"
    yield f"destination {there.name} ({there.endpoint}): {waits}; {points}"
    if there.trouble:
        yield f"  now: {there.trouble}"
    if there.last_refusal:
        yield f"  last refusal: {there.last_refusal}"


def _commands(commands: CommandsStatus) -> Iterator[str]:
    ended = ", ".join(f"{number} {how}" for how, number in sorted(commands.ended.items()))
    told = f", {commands.reports} reports to be told" if commands.reports else ""
    now = f"{commands.waiting} wait, {commands.running} run"
    yield f"commands: {now}; ended: {ended.replace('_', ' ') or 'none'}{told}"
    if commands.trouble:
        yield f"  now: {commands.trouble}"
