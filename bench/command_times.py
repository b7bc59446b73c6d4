"""How long commands take: from an order to libvirt, and many of them beside a plain script."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import httpx
import libvirt

from commanded_fleet import Fleet, commanded_fleet
from hypervisors import Driver, Hypervisors, hypervisors
from plain_scripts import scripts

PARALLEL = 8  # of an agent, unless its settings say otherwise
_PAUSE_S = (0.1, 0.4)


def post_to_call(folder: Path, samples: int) -> dict[str, float]:
    """From before the POST to libvirt's event that the guest has changed. The guest is one of
    libvirtd's in-memory driver, which does it within a millisecond."""
    folder.mkdir()
    with hypervisors() as found, commanded_fleet(folder, found) as fleet:
        fleet.add(Driver.TEST, 1, 1)
        fleet.start()
        [vm] = fleet.vms
        posted: list[float] = []
        answered: list[float] = []
        finished: list[float] = []
        with fleet.operator() as http:
            order(http, "start", [vm])
            for number in range(samples):
                time.sleep(random.uniform(*_PAUSE_S))
                posted.append(time.time())
                made = posted_order(http, "resume" if number % 2 else "suspend", [vm])
                answered.append(time.time())
                finish(http, made)
                finished.append(time.time())
        called = [one.at for one in found.events() if one.kind in ("suspend", "resume")]
    calls = [ms(*pair) for pair in zip(posted, called, strict=True)]
    return {
        "post_to_call_ms": median(calls),
        "post_to_call_p95_ms": quantiles(calls, n=20)[-1],
        "post_to_answer_ms": median(map(ms, posted, answered)),
        "post_to_known_end_ms": median(map(ms, posted, finished)),
    }


def ms(before: float, after: float) -> float:
    return (after - before) * 1000


def order(http: httpx.Client, verb: str, vms: Sequence[str]) -> None:
    """And wait for its end."""
    finish(http, posted_order(http, verb, vms))


def posted_order(http: httpx.Client, verb: str, vms: Sequence[str]) -> Any:
    answer = http.post("/v1/operations", json={"verb": verb, "targets": {"vms": list(vms)}})
    return answer.raise_for_status().json()


def finish(http: httpx.Client, made: Any) -> None:
    while made["finished"] is None:
        query = {"after": made["version"], "wait": 30}
        made = http.get(f"/v1/operations/{made['id']}", params=query).raise_for_status().json()
    if made["state"] != "succeeded":
        raise SystemExit(f"the commands did not succeed: {made}")


# -- many ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Bulk:
    fleet: Fleet
    found: Hypervisors
    http: httpx.Client

    def by_commands(self) -> float:
        return self._seconds(lambda: order(self.http, "start", list(self.fleet.vms)))

    def by_script(self) -> float:
        """A process for each agent, with as many threads, each of which has a connection."""
        arguments = [
            (self.found.uri(agent.driver), str(PARALLEL), *agent.vms) for agent in self.fleet.agents
        ]
        with scripts("plain_starts.py", arguments) as run:
            return self._seconds(run)

    def _seconds(self, run: Callable[[], None]) -> float:
        """From the request to the last guest's start, as libvirt tells it."""
        began = time.time()
        run()
        time.sleep(0.5)  # events come soon after
        starts = [one.at for one in self.found.events() if one.kind == "start" and one.at > began]
        if len(starts) != len(self.fleet.vms):
            raise SystemExit(f"{len(starts)} of {len(self.fleet.vms)} guests were started")
        self._stop_all()
        return max(starts) - began

    def _stop_all(self) -> None:
        conn = libvirt.open(self.found.uri(Driver.QEMU))
        with ThreadPoolExecutor(PARALLEL) as pool:
            list(pool.map(lambda domain: domain.destroy(), conn.listAllDomains()))
        conn.close()


def bulk(folder: Path, agents: int, guests: int, pairs: int) -> Mapping[str, float]:
    """Starts of guests that are off, by commands and by a script in turn."""
    folder.mkdir()
    settings = f"[commands]\nper_host = {PARALLEL}\n"
    with hypervisors() as found, commanded_fleet(folder, found, settings) as fleet:
        fleet.add(Driver.QEMU, agents, guests // agents)
        fleet.start()
        with fleet.operator() as http:
            many = Bulk(fleet, found, http)
            many.by_script()  # libvirt and the kernel have seen all of it once
            ours: list[float] = []
            theirs: list[float] = []
            for number in range(pairs):
                print(f"\rpair {number + 1} of {pairs}", end="", flush=True)
                turns = [(ours, many.by_commands), (theirs, many.by_script)]
                for seconds, run in turns if number % 2 else reversed(turns):
                    seconds.append(run())
    print(f"\rcommands {ours}, script {theirs}")
    return {
        "bulk_ratio_to_libvirt": median(map(float.__truediv__, ours, theirs)),
        "bulk_commands_s": median(ours),
        "bulk_libvirt_s": median(theirs),
    }
