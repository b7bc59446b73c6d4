"""What happens to a guest is in SQL two seconds later, by way of agent, collector and store."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import libvirt
import pytest
from clickhouse_connect.driver.client import Client

from kvm_herd import Herd, herd_of
from novacron_agent.providers.kvm.events import start_event_loop
from novacron_lab.plan import GUESTS
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
_WORKING = GUESTS[0]  # it obeys its power button; guests of firmware alone do not


@pytest.fixture
def world(tmp_path: Path, store_process: StoreProcess) -> Iterator[Herd]:
    start_event_loop()  # before there is a connection
    collector = RestartedCollector(tmp_path, store_process, write_every="1s")  # the default
    collector.start()
    with herd_of(1, (_WORKING,)) as herd:
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


class Told:
    """When libvirt told of a change last, on the monotonic clock: all before is libvirt's part."""

    def __init__(self, conn: libvirt.virConnect) -> None:
        self.at = 0.0
        lifecycle = libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE
        conn.domainEventRegisterAny(None, lifecycle, self._on_change, None)

    def _on_change(self, *_: Any) -> None:
        self.at = time.monotonic()


@dataclass(frozen=True)
class Seconds:
    """From what happened to SQL, and how much of that libvirt took to tell it."""

    what: str
    all: float
    libvirt: float

    def __str__(self) -> str:
        return f"{self.what} {self.all:.2f} ({self.libvirt:.2f} libvirt's)"


class Watcher:
    """Sees in SQL what becomes of a guest."""

    def __init__(self, client: Client, told: Told) -> None:
        self._client, self._told = client, told
        self.taken: list[Seconds] = []

    def see(self, vm: str, what: str, act: Callable[[], object], becomes: str) -> None:
        act()
        happened = time.monotonic()
        until(lambda: state(self._client, vm), becomes, 30)
        seen = time.monotonic()
        told = max(0.0, self._told.at - happened)
        self.taken.append(Seconds(what, seen - happened, told))


def test_start_pause_crash_and_shutdown_of_a_guest_are_in_sql_two_seconds_later(
    world: Herd, store_process: StoreProcess
) -> None:
    client = store_process.service()
    watcher = Watcher(client, Told(world.conn))
    working = world.conn.lookupByName(_WORKING.name)
    with world.spare("watched") as guest:
        vm = guest.UUIDString()
        until(lambda: state(client, world.uuid(world.names[0])), "paused", 60)
        until(lambda: state(client, vm), "stopped", 30)
        watcher.see(vm, "start", guest.create, "running")
        watcher.see(vm, "pause", guest.suspend, "paused")
        watcher.see(vm, "resume", guest.resume, "running")
        pid = world.qemu("watched")
        watcher.see(vm, "crash", lambda: os.kill(pid, signal.SIGKILL), "crashed")
        watcher.see(vm, "start after a crash", guest.create, "running")
        watcher.see(vm, "destroy", guest.destroy, "stopped")
        world.lab.wait_until_up()
        vm = working.UUIDString()
        watcher.see(vm, "shutdown", lambda: shut_down(world, working), "stopped")
    log.info("seconds from what happened to SQL: %s", ", ".join(map(str, watcher.taken)))
    assert max(one.all for one in watcher.taken) <= _SOON_S
    client.close()


def shut_down(world: Herd, guest: libvirt.virDomain) -> None:
    """Press its power button, and wait until it has obeyed."""
    process = Path(f"/proc/{world.qemu(guest.name())}")
    guest.shutdown()
    deadline = time.monotonic() + 30
    while process.exists():
        assert time.monotonic() < deadline, "it does not react to its power button"
        time.sleep(0.01)


def state(client: Client, vm: str) -> str:
    rows = client.query(_NOW, parameters={"vm": vm}).result_rows
    return " ".join(sorted(name for (name,) in rows))


def until(look: Callable[[], str], becomes: str, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while (seen := look()) != becomes:
        assert time.monotonic() < deadline, f"{seen!r}, not {becomes!r}"
        time.sleep(0.05)
