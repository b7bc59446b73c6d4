"""What the agent costs a KVM host, beside the exporter that Debian has.

Run it as `make bench-agent`. A lab host runs 100 paused QEMU guests (BENCH_GUESTS). A scrape of
prometheus-libvirt-exporter and a tick of the agent are each counted with all that work for them:
libvirtd, the QEMUs, and the program itself. Then `novacron-agent` runs for two minutes as it is
installed, with everything at its default cadence, joined to a collector: it sends there and waits
for commands. Of the collector nothing is counted. What the agent's own code takes for a point is
measured on recorded statistics of 1,000 guests.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import libvirt
import psutil

from agent_points import us_per_point
from enrolled import Agent, enrolling
from novacron_agent.otlp import Encoder
from novacron_agent.providers.kvm import KvmProvider
from novacron_lab import libvirtd
from novacron_lab.herd import herd
from novacron_lab.lab import Lab
from novacron_lab.layout import Host
from program import Program, free_port
from report import report

_EXPORTER = "prometheus-libvirt-exporter"
_INSTALL = f"apt-get install --no-install-recommends {_EXPORTER}"
_SCRAPES = 12
_WARM_S, _WATCHED_S, _TICK_S = 35, 120, 10
_RARELY = 3600.0
# On an agent's host there are no click, rich and zstandard, which httpx imports where they are.
_AGENT = """
import sys
sys.modules.update(click=None, rich=None, zstandard=None)
from novacron_agent.cli import main
sys.exit(main())
"""


def main() -> int:
    if shutil.which(_EXPORTER) is None:
        raise SystemExit(f"the peer is missing; install it: {_INSTALL}")
    count = int(os.environ.get("BENCH_GUESTS", "100"))
    figures = {"us_per_point": us_per_point()}
    with tempfile.TemporaryDirectory(prefix="nclab-", dir="/tmp") as place:
        folder = Path(place)
        lab = Lab(directory=folder / "lab", plan=(), say=print)
        try:
            lab.up()
            with herd(lab.hosts[0], count, folder) as names:
                figures |= _measure(lab.hosts[0], names, folder)
        finally:
            lab.down()
    report("agent", figures)
    return 0


def _measure(host: Host, names: list[str], folder: Path) -> dict[str, float]:
    served = Served.of(host, names)
    exporter = _exporter_scrape(host, served, folder)
    fast = _fast_tick(host, served)
    installed = _as_installed(host, served, folder)
    return {
        "exporter_scrape_cpu_ms": exporter,
        "fast_tick_cpu_ms": fast,
        "fast_tick_ratio_to_exporter": fast / exporter,
        "full_cpu_ms_per_10s": installed.all_ms,
        "full_ratio_to_exporter_per_10s": installed.all_ms / exporter,
        "agent_cpu_percent": installed.own_percent,
        "agent_rss_mb": installed.rss_mb,
    }


@dataclass(frozen=True, slots=True)
class Served:
    """The processes that work for whoever asks libvirt."""

    pids: list[int]

    @classmethod
    def of(cls, host: Host, names: list[str]) -> Served:
        qemus = [int((host.socket.parent / f"qemu/{name}.pid").read_text()) for name in names]
        daemon = libvirtd.pid(host)
        assert daemon is not None
        return cls([daemon, *qemus])

    def cpu_ms(self) -> float:
        """By the kernel's own clock of what ran: jiffies are ten milliseconds."""
        return sum(Program(pid).cpu_ms() for pid in self.pids)


def _exporter_scrape(host: Host, served: Served, folder: Path) -> float:
    """CPU ms of a scrape, median."""
    with _exporter(host, folder) as (program, url):

        def scrape() -> None:
            with urllib.request.urlopen(url, timeout=60) as answer:
                assert answer.read().count(b"libvirt_domain_state_code{") == len(served.pids) - 1

        return _median(scrape, lambda: served.cpu_ms() + program.cpu_ms())


@contextmanager
def _exporter(host: Host, folder: Path) -> Iterator[tuple[Program, str]]:
    """As it is installed: it finds libvirt's socket where a host has it."""
    port = free_port()
    daemon = libvirtd.pid(host)
    enter = ["nsenter", f"--target={daemon}", "--mount", "--"]
    command = [*enter, _EXPORTER, f"--web.listen-address=127.0.0.1:{port}"]
    with (folder / "exporter.log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    url = f"http://127.0.0.1:{port}/metrics"
    try:
        _wait(url, folder / "exporter.log")
        yield Program(process.pid), url
    finally:
        process.terminate()
        process.wait(10)


def _wait(url: str, log: Path) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(url, timeout=30):
                return
        except OSError:
            time.sleep(0.2)
    raise SystemExit(f"the exporter does not answer:\n{log.read_text()}")


def _fast_tick(host: Host, served: Served) -> float:
    """CPU ms of a tick that asks no QEMU, from libvirt to gzipped OTLP; median."""
    kvm = KvmProvider(
        uri=host.uri, disk_interval=_RARELY, memory_interval=_RARELY, storage_interval=_RARELY
    )
    encoder = Encoder("bench")
    kvm.scrape(None)

    def tick() -> None:
        encoder.encode(kvm.scrape(None).readings)

    tick()  # everybody was asked once; now nobody is due
    figure = _median(tick, lambda: served.cpu_ms() + time.process_time() * 1000)
    kvm.close()
    return figure


def _median(act: Callable[[], None], cpu_ms: Callable[[], float]) -> float:
    act()
    used = []
    for _ in range(_SCRAPES):
        before = cpu_ms()
        act()
        time.sleep(0.05)  # what the QEMUs do after they have answered
        used.append(cpu_ms() - before)
    return statistics.median(used)


@dataclass(frozen=True, slots=True)
class Installed:
    all_ms: float  # CPU of everything in ten seconds
    own_percent: float  # of a core
    rss_mb: float


def _as_installed(host: Host, served: Served, folder: Path) -> Installed:
    """The program with its defaults, this machine measured as well, after it has joined."""
    with enrolling(folder) as world:
        agent = _configured(host, folder / "agent")
        joined = agent.join(world.line())
        if joined.returncode != 0:
            raise SystemExit(joined.stderr)
        command = [sys.executable, "-c", _AGENT, "--config", str(agent.config)]
        with (folder / "agent.log").open("w") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            time.sleep(_WARM_S)
            if not _does_all(agent):
                raise SystemExit((folder / "agent.log").read_text())
            return _watched(psutil.Process(process.pid), served)
        finally:
            process.terminate()
            process.wait(15)


def _configured(host: Host, folder: Path) -> Agent:
    folder.mkdir()
    agent = Agent(folder)
    agent.config.write_text(
        f'[agent]\nid_file = "{folder}/agent-id"\n[provider]\nname = "kvm"\nuri = "{host.uri}"\n'
    )
    return agent


def _does_all(agent: Agent) -> bool:
    """It runs, its points are taken, and it waits for commands without trouble."""
    asked = agent.run("status", "--json")
    if asked.returncode != 0:
        return False
    told = json.loads(asked.stdout)
    [there], commands = told["destinations"], told["commands"]
    return there["delivered"] > 0 and commands is not None and not commands["trouble"]


def _watched(agent: psutil.Process, served: Served) -> Installed:
    before, own = served.cpu_ms(), sum(agent.cpu_times()[:2])
    time.sleep(_WATCHED_S)
    spent_own = sum(agent.cpu_times()[:2]) - own
    spent = served.cpu_ms() - before
    tens = _WATCHED_S / _TICK_S
    rss = agent.memory_info().rss / 10**6
    return Installed((spent + spent_own * 1000) / tens, 100 * spent_own / _WATCHED_S, rss)


if __name__ == "__main__":
    libvirt.registerErrorHandler(lambda *_: None, None)
    sys.exit(main())
