"""An agent's commands as a process that a test kills: python commanded_child.py FOLDER"""

from __future__ import annotations

import json
import random
import sqlite3
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from novacron_agent.commands.clock import this_boot
from novacron_agent.commands.counts import CommandCounts
from novacron_agent.commands.executor import Executor
from novacron_agent.commands.journal import Journal
from novacron_agent.commands.settings import CommandsTable
from novacron_agent.finding import Finding
from novacron_agent.providers.lifecycle import Done, FoundVm, Progress
from novacron_contract.commands import VERBS, Effect, Order, Verb, order
from novacron_contract.metrics import VmState

_BECOMES = {Verb.START: VmState.RUNNING, Verb.STOP: VmState.STOPPED}


@dataclass(frozen=True, slots=True)
class FileHypervisor:
    path: Path

    def verbs(self) -> frozenset[Verb]:
        return frozenset(Verb)

    def find(self, vm_id: str, _patience_s: float) -> FoundVm:
        db = sqlite3.connect(self.path, timeout=10)
        (state,) = db.execute("SELECT state FROM vms WHERE id = ?", (vm_id,)).fetchone()
        db.close()
        return FoundVm("vm", VmState(state))

    def perform(self, one: Order, _progress: Progress, _deadline: float) -> Done:
        state = self.find(one.vm_id, 0).state
        wanted = _BECOMES.get(one.verb, state)
        if VERBS[one.verb].effect is Effect.CONVERGENT and state is wanted:
            return Done(changed=False)
        print("about to do it", flush=True)  # noqa: T201 (who kills us counts these)
        time.sleep(random.random() * 0.02)
        db = sqlite3.connect(self.path, timeout=10)
        with db:
            db.execute("UPDATE vms SET state = ? WHERE id = ?", (wanted, one.vm_id))
            db.execute("INSERT INTO effects VALUES (?)", (one.id,))
        db.close()
        time.sleep(random.random() * 0.02)
        return Done(changed=True)

    def check(self, _patience_s: float) -> list[Finding]:
        return []

    def close(self) -> None:
        pass


def main(folder: Path) -> None:
    clock = this_boot()
    orders = [order(one) for one in json.loads((folder / "orders.json").read_text())]
    journal = Journal(folder / "journal.sqlite", clock)
    executor = Executor(journal, clock, CommandCounts(), lambda: None)
    executor.adopt(CommandsTable(parallel=4), FileHypervisor(folder / "hypervisor.sqlite"))
    executor.restore()
    for one in orders:
        executor.take([one], clock.since_boot())
    while sum(executor.active.values()):
        time.sleep(0.01)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
