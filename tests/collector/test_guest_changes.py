"""What happens to a guest is in SQL two seconds later, by way of agent, collector and store."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from clickhouse_connect.driver.client import Client

from kvm_herd import Herd, herd_of
from restarted_collector import RestartedCollector
from store_process import StoreProcess

pytestmark = pytest.mark.lab
log = logging.getLogger(__name__)
_TICK_S = 60
# Two seconds on a machine that does nothing else; a tick takes much longer.
_SOON_S = 10.0
_NOW = """
SELECT any(named.attributes['vm.state']) FROM samples AS s JOIN series AS named USING (series)
WHERE s.metric = 'vm.state' AND s.entity = {vm:String} GROUP BY s.series
HAVING argMax(s.value, s.ts) = 1"""


@pytest.fixture
def world(tmp_path: Path, store_process: StoreProcess) -> Iterator[Herd]:
    collector = RestartedCollector(tmp_path, store_process)
    collector.start()
    with herd_of(1) as herd:
        config = tmp_path / "agent.toml"
        config.write_text(
            f'[agent]\nendpoint = "http://{collector.otlp_http}"\ninterval = "{_TICK_S}s"\n'
            f'id_file = "{tmp_path}/agent/agent-id"\n[host]\nenabled = false\n'
            f'[provider]\nname = "kvm"\nuri = "{herd.host.uri}"\n'
        )
        command = [sys.executable, "-m", "novacron_agent", "--config", str(config)]
        agent = subprocess.Popen(command)
        try:
            yield herd
        finally:
            agent.terminate()
            agent.wait(15)
            collector.kill()


def test_start_pause_crash_and_shutdown_of_a_guest_are_in_sql_two_seconds_later(
    world: Herd, store_process: StoreProcess
) -> None:
    client = store_process.service()
    with world.spare("watched") as guest:
        vm = guest.UUIDString()
        until(lambda: state(client, world.uuid(world.names[0])), "paused", 60)
        until(lambda: state(client, vm), "stopped", 30)
        taken: dict[str, float] = {}
        for act, becomes in (
            (guest.create, "running"),
            (guest.suspend, "paused"),
            (guest.resume, "running"),
            (lambda: os.kill(world.qemu("watched"), signal.SIGKILL), "crashed"),
            (guest.create, "running"),
            (guest.destroy, "stopped"),
        ):
            act()
            happened = time.monotonic()
            until(lambda: state(client, vm), becomes, 30)
            taken[f"{len(taken)} {becomes}"] = time.monotonic() - happened
    log.info("seconds from what happened to SQL: %s", taken)
    assert max(taken.values()) <= _SOON_S, taken
    client.close()


def state(client: Client, vm: str) -> str:
    rows = client.query(_NOW, parameters={"vm": vm}).result_rows
    return " ".join(sorted(name for (name,) in rows))


def until(look: Callable[[], str], becomes: str, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while (seen := look()) != becomes:
        assert time.monotonic() < deadline, f"{seen!r}, not {becomes!r}"
        time.sleep(0.05)
