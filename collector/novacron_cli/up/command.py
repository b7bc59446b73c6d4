"""The commands `up` and `down`."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

from novacron_cli.backup import restore_into
from novacron_cli.collector_file import default_path, read
from novacron_cli.up import hypervisors
from novacron_cli.up.addresses import on_loopback, require_free
from novacron_cli.up.data_folder import DataFolder
from novacron_cli.up.hypervisors import LIBVIRT_URI, Lab, LabHost
from novacron_cli.up.joining import joining
from novacron_cli.up.program import Program
from novacron_cli.up.stack import Stack
from novacron_cli.up.summary import summary
from novacron_cli.up.supervisor import Stopped, Supervisor, memory
from novacron_contract.errors import ConfigError, NovaCronError, Refused, Unavailable

if TYPE_CHECKING:
    from novacron_cli.command import Commands

_STOPPING_TAKES = 90.0


def add_to(commands: Commands) -> None:
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument(
        "--data", type=Path, default=default_path(), help="the data folder (%(default)s)"
    )
    shared.add_argument(
        "--lab-dir",
        type=Path,
        default=hypervisors.LAB_DIRECTORY,
        help="where the lab lives (%(default)s)",
    )
    starter = commands.add_parser(
        "up", parents=[shared], help="run all of NovaCron on this machine until Ctrl-C"
    )
    starter.add_argument(
        "--libvirt",
        default=LIBVIRT_URI,
        metavar="URI",
        help="this machine's hypervisor, where it answers (%(default)s)",
    )
    starter.add_argument("--no-lab", action="store_true", help="never start the lab")
    starter.add_argument(
        "--port-offset",
        type=_offset,
        default=0,
        metavar="N",
        help="add N to every port, to run beside what takes the usual ones",
    )
    starter.add_argument(
        "--restore",
        type=Path,
        metavar="FOLDER",
        help="begin with what `novacron backup` copied there; the data folder is to be new",
    )
    starter.set_defaults(run=up)
    stopper = commands.add_parser(
        "down", parents=[shared], help="stop a running `novacron up` and remove the lab"
    )
    stopper.set_defaults(run=down)


def up(args: argparse.Namespace) -> int:
    """Returns 0 after a clean stop, 1 when a part does not start, 2 when the settings are wrong."""
    data, lab = DataFolder(args.data.resolve()), Lab(args.lab_dir.resolve())
    data.prepare()
    addresses = data.addresses(on_loopback(args.port_offset))
    with (
        data.claimed(url=f"http://{addresses.ui}"),
        httpx.Client(timeout=2.0, trust_env=False) as http,
    ):
        require_free(addresses)
        data.write_configuration(addresses)
        stack = Stack(data, addresses, http)
        return _Run(stack, lab, args.libvirt, not args.no_lab, args.restore).run()


def down(args: argparse.Namespace) -> int:
    data, lab = DataFolder(args.data.resolve()), Lab(args.lab_dir.resolve())
    holder = data.holder()
    if holder is not None:
        _say("novacron", f"stopping process {holder['pid']}")
        _stop_process(holder["pid"], data)
    if lab.exists():
        lab.down(lambda line: _say("lab", line))
    elif holder is None:
        nothing = f"does not run from {data.path}, and there is no lab"
        _say("novacron", f"{nothing}; did another user start it?")
        return 0
    _say("novacron", "stopped")
    return 0


def _stop_process(pid: int, data: DataFolder) -> None:
    try:
        os.kill(pid, signal.SIGTERM)
    except PermissionError as err:
        raise Refused(f"process {pid} is another user's: stop it as that user") from err
    deadline = time.monotonic() + _STOPPING_TAKES
    while data.holder() is not None:
        if time.monotonic() > deadline:
            raise Unavailable(f"process {pid} does not stop; see {data.log}")
        time.sleep(0.1)


@dataclass(slots=True)
class _Run:
    """One `novacron up`, from the first program's start to the last one's end."""

    stack: Stack
    lab: Lab
    libvirt: str
    with_lab: bool
    restore: Path | None
    lab_is_ours: bool = False  # started by us, so removed by us

    def run(self) -> int:
        supervisor = Supervisor(self.stack.data.log, _say)
        supervisor.obey_signals()
        began = time.monotonic()
        _say("novacron", f"starts from {self.stack.data.path}")
        try:
            self._start(supervisor)
            _say("novacron", f"is up after {time.monotonic() - began:.1f} s")
            print(self._summary(supervisor), flush=True)
            supervisor.watch()
        except Stopped:
            _say("novacron", "stopping")
            return 0
        except NovaCronError as err:
            print(f"novacron: {err}", file=sys.stderr)
            return 2 if isinstance(err, ConfigError) else 1
        finally:
            self._stop(supervisor)
            _say("novacron", "stopped")
        return 0

    def _start(self, supervisor: Supervisor) -> None:
        with ThreadPoolExecutor(1) as pool:
            found = pool.submit(self._find_hypervisors)  # meanwhile the store starts
            supervisor.start(self.stack.store())
            if self.restore:
                restore_into(read(self.stack.data.config("collector")), self.restore.absolute())
            supervisor.start(self.stack.collector())
            supervisor.start(self.stack.ui(), *self._agents(supervisor, found))

    def _find_hypervisors(self) -> tuple[str | None, list[LabHost]]:
        """The URI of the machine's libvirt or None, and the lab's hosts."""
        if hypervisors.libvirt_answers(self.libvirt):
            _say("libvirt", f"answers at {self.libvirt}: its VMs are shown")
            return self.libvirt, []
        _say("libvirt", f"none answers at {self.libvirt}")
        if not self.with_lab:
            return None, []
        hosts = self.lab.hosts()
        if not hosts:
            _say("lab", "starts two KVM hosts with four guests to look at (LAB=no leaves it out)")
            self.lab_is_ours = True
        try:
            self.lab.up(lambda line: _say("lab", line))
        except Unavailable as err:
            _say("lab", f"left out: {err}")
        return None, self.lab.hosts()

    def _agents(
        self, supervisor: Supervisor, found: Future[tuple[str | None, list[LabHost]]]
    ) -> list[Program]:
        while not found.done():
            supervisor.pause(0.1)
        libvirt, lab_hosts = found.result()
        data, addresses = self.stack.data, self.stack.addresses
        data.write_agent("agent", host=True, libvirt=libvirt)
        for host in lab_hosts:
            data.write_agent(f"agent-{host.name}", host=False, libvirt=host.uri)
        names = ["agent", *(f"agent-{host.name}" for host in lab_hosts)]
        with joining(data, addresses) as join:
            for name in names:
                if join.needs(name):
                    join.join(name, self.stack.join(name))
                    _say(name, "joined the collector")
        return [self.stack.agent(name) for name in names]

    def _summary(self, supervisor: Supervisor) -> str:
        lab = self.lab if self.with_lab else None
        return summary(self.stack.data, self.stack.addresses, memory(supervisor.children), lab)

    def _stop(self, supervisor: Supervisor) -> None:
        supervisor.stop()
        if self.lab_is_ours and self.lab.exists():
            try:
                self.lab.down(lambda line: _say("lab", line))
            except Unavailable as err:
                _say("lab", f"is not removed: {err}")


_speaking = threading.Lock()


def _say(who: str, what: str) -> None:
    with _speaking:
        print(f"{time.strftime('%H:%M:%S')}  {who:<17} {what}", flush=True)


def _offset(text: str) -> int:
    if not text.isdecimal() or int(text) > 50_000:
        raise argparse.ArgumentTypeError(f"expected 0 to 50000, got {text!r}")
    return int(text)
