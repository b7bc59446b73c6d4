"""Everything is killed in the middle of a bulk command, and started again: it finishes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from commanded_fleet import Fleet, commanded_fleet
from hypervisors import Driver, Hypervisors, hypervisors, settle

pytestmark = [pytest.mark.chaos, pytest.mark.lab, pytest.mark.timeout(300)]

_QEMU, _TEST = 8, 12  # guests of each of two agents
_GUESTS = 2 * (_QEMU + _TEST)


@pytest.fixture
def hypervisor() -> Iterator[Hypervisors]:
    with hypervisors() as found:
        yield found


@pytest.fixture
def fleet(tmp_path: Path, hypervisor: Hypervisors) -> Iterator[Fleet]:
    with commanded_fleet(tmp_path, hypervisor, '[commands]\nredeliver = "1s"\n') as fleet:
        fleet.add(Driver.QEMU, 2, _QEMU)
        fleet.add(Driver.TEST, 2, _TEST)
        fleet.start()
        yield fleet


def next_of(http: httpx.Client, operation: dict[str, Any]) -> dict[str, Any]:
    """What follows on the version that somebody has seen."""
    query = {"after": operation["version"], "wait": 20}
    answer = http.get(f"/v1/operations/{operation['id']}", params=query)
    found: dict[str, Any] = answer.raise_for_status().json()
    return found


@contextmanager
def watched(http: httpx.Client, operation: str) -> Iterator[subprocess.Popen[str]]:
    """`novacron operation watch`, as somebody has it open all the time."""
    token = http.headers["Authorization"].removeprefix("Bearer ")
    about = {"NOVACRON_URL": str(http.base_url).rstrip("/"), "NOVACRON_TOKEN": token}
    command = [str(Path(sys.executable).with_name("novacron")), "operation", "watch", operation]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, stdout=pipe, stderr=pipe, text=True, env={**os.environ, **about}
    ) as watch:
        try:
            yield watch
        finally:
            watch.kill()


def test_a_bulk_command_goes_on_where_everything_was_killed(
    fleet: Fleet, hypervisor: Hypervisors
) -> None:
    with fleet.operator() as http, ExitStack() as ends:
        body = {"verb": "start", "targets": {"select": {"name": "*-*"}}, "max_parallel": 4}
        answer = http.post("/v1/operations", json=body)
        assert answer.status_code == 201, answer.text
        seen = [answer.json()]
        watch = ends.enter_context(watched(http, seen[0]["id"]))
        while seen[-1]["ended"] < 5:
            seen.append(next_of(http, seen[-1]))
        assert watch.stderr is not None
        watch.stderr.readline()  # it has begun to tell

        fleet.world.collector.kill()
        fleet.end()
        assert seen[-1]["ended"] < _GUESTS, "it was going on"
        with pytest.raises(httpx.TransportError):
            next_of(http, seen[-1])
        fleet.world.collector.start()
        fleet.start()

        while seen[-1]["finished"] is None:
            seen.append(next_of(http, seen[-1]))
        out, err = watch.communicate(timeout=30)
        assert watch.returncode == 0, err
        assert "the collector answers again" in err
        assert f"{_GUESTS} succeeded" in out + err, (out, err)
    settle()

    last = seen[-1]
    assert (last["state"], last["commands"]["succeeded"]) == ("succeeded", _GUESTS)
    for name in ("version", "ended"):
        numbers = [one[name] for one in seen]
        assert numbers == sorted(numbers), "whoever follows it sees it go on"
    starts = Counter(event.vm for event in hypervisor.events() if event.kind == "start")
    assert starts == dict.fromkeys(fleet.vms, 1)
