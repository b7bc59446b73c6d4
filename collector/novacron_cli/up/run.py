"""One run of `novacron up`."""

from __future__ import annotations

import argparse
import sys
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from novacron_cli.backup import restore_into
from novacron_cli.collector_file import read
from novacron_cli.up import hypervisors
from novacron_cli.up.addresses import on_loopback, require_free
from novacron_cli.up.data_folder import DataFolder
from novacron_cli.up.hypervisors import Lab, LabHost
from novacron_cli.up.joining import Joining
from novacron_cli.up.program import Program
from novacron_cli.up.saying import say
from novacron_cli.up.stack import Stack
from novacron_cli.up.state import opened
from novacron_cli.up.summary import summary
from novacron_cli.up.supervisor import Stopped, Supervisor, memory
from novacron_cli.up.ui_token import keep_ui_token
from novacron_contract.errors import ConfigError, NovaCronError, Unavailable


def up(args: argparse.Namespace) -> int:
    """Returns 0 after a clean stop, 1 when a part does not start, 2 when the settings are wrong."""
    data, lab = DataFolder(args.data.resolve()), Lab(args.lab_dir.resolve())
    data.prepare()
    addresses = data.addresses(data.choices().applied(on_loopback(args.port_offset)))
    with data.claim.held(url=f"http://{addresses.ui}"):
        require_free(addresses)
        data.write_configuration(addresses)
        data.note_start()
        with opened(data) as state:
            stack = Stack(data, addresses, state)
            return _Run(stack, lab, args.libvirt, not args.no_lab, args.restore).run()


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
        supervisor = Supervisor(self.stack.data.log, say)
        supervisor.obey_signals()
        began = time.monotonic()
        say("novacron", f"starts from {self.stack.data.path}")
        try:
            self._start(supervisor)
            say("novacron", f"is up after {time.monotonic() - began:.1f} s")
            print(self._summary(supervisor), flush=True)
            supervisor.watch()
        except Stopped:
            say("novacron", "stopping")
            return 0
        except NovaCronError as err:
            print(f"novacron: {err}", file=sys.stderr)
            return 2 if isinstance(err, ConfigError) else 1
        finally:
            self._stop(supervisor)
            say("novacron", "stopped")
        return 0

    def _start(self, supervisor: Supervisor) -> None:
        with ThreadPoolExecutor(1) as pool:
            found = pool.submit(self._find_hypervisors)  # meanwhile the store starts
            supervisor.start(self.stack.store())
            if self.restore:
                restore_into(read(self.stack.data.config("collector")), self.restore.absolute())
            supervisor.start(self.stack.collector())
            keep_ui_token(self.stack.data, self.stack.addresses, self.stack.state)
            supervisor.start(self.stack.ui(), *self._agents(supervisor, found))

    def _find_hypervisors(self) -> tuple[str | None, list[LabHost]]:
        """The URI of the machine's libvirt or None, and the lab's hosts."""
        if hypervisors.libvirt_answers(self.libvirt):
            say("libvirt", f"answers at {self.libvirt}: its VMs are shown")
            return self.libvirt, []
        say("libvirt", f"none answers at {self.libvirt}")
        if not self.with_lab:
            return None, []
        hosts = self.lab.hosts()
        if not hosts:
            say("lab", "starts two KVM hosts with four guests to look at (LAB=no leaves it out)")
            self.lab_is_ours = True
        try:
            self.lab.up(lambda line: say("lab", line))
        except Unavailable as err:
            say("lab", f"left out: {err}")
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
        join = Joining(data, addresses, self.stack.state)
        for name in names:
            if join.needs(name):
                join.join(name, self.stack.join(name))
                say(name, "joined the collector")
        return [self.stack.agent(name) for name in names]

    def _summary(self, supervisor: Supervisor) -> str:
        lab = self.lab if self.with_lab else None
        return summary(self.stack.data, self.stack.addresses, memory(supervisor.children), lab)

    def _stop(self, supervisor: Supervisor) -> None:
        supervisor.stop()
        if self.lab_is_ours and self.lab.exists():
            try:
                self.lab.down(lambda line: say("lab", line))
            except Unavailable as err:
                say("lab", f"is not removed: {err}")
