"""The KVM provider beside others that measure the same guests: virsh and collectd."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Set
from dataclasses import dataclass
from pathlib import Path

import libvirt
import pytest

from kvm_peers import COLLECTD, Collectd, Figures, Name, collectd, domstats, figures
from novacron_agent.providers.kvm import KvmProvider
from novacron_contract.errors import NovaCronError
from novacron_contract.metrics import BY_NAME, Kind
from novacron_lab.guests import Guest
from novacron_lab.lab import Lab
from novacron_lab.plan import GUESTS
from provider_contract import guests

pytestmark = pytest.mark.lab

_ROUNDS = 4
# The kernel tells a process's CPU time in ticks of 10 ms, user and system apart, and a thread's as
# it was at its last tick.
_TICKS_S = 0.03
_CPU = ("vm.cpu.time", "libvirt.vcpu.time", "libvirt.vcpu.delay_time")
_COLLECTD_MS = ("libvirt.disk.flush.operation_time",)  # whole milliseconds
_MOVES = {
    "vm.cpu.time", "libvirt.vcpu.time", "libvirt.vcpu.delay_time", "libvirt.memory.faults",
    "vm.disk.io", "vm.disk.operations", "vm.disk.operation_time",
    "vm.network.io", "vm.network.packet.count",
}  # fmt: skip


@pytest.fixture(scope="module")
def world() -> Iterator[Lab]:
    """A guest that reads and writes its disk, and has sent something."""
    with tempfile.TemporaryDirectory(prefix="nclab-", dir="/tmp") as place:
        lab = Lab(directory=Path(place) / "lab", plan=GUESTS[:1], say=print)
        try:
            lab.up()
            lab.wait_until_up()
            fetch(lab.guests[0])
            wait_for_balloon(lab)
            yield lab
        except NovaCronError as err:
            pytest.fail(f"no lab: {err}", pytrace=False)
        finally:
            lab.down()


def fetch(guest: Guest) -> None:
    """64 KiB over the network, by its host."""
    request = "GET /64 HTTP/1.0\r\n\r\n"
    guest.host.namespace.run("busybox", "nc", "-w", "5", guest.address, "80", stdin=request)


def wait_for_balloon(lab: Lab) -> None:
    """Until the guest tells of its memory, some seconds after it has booted."""
    deadline = time.monotonic() + 30
    while not any(metric == "libvirt.memory.usable" for metric, _ in told(lab)):
        assert time.monotonic() < deadline
        time.sleep(0.2)


def told(lab: Lab) -> Figures:
    return domstats(lab.hosts[0].uri, lab.guests[0].name)


def measured(uri: str) -> Figures:
    """By an agent that has just been started, and so asks for everything at once."""
    provider = KvmProvider(uri=uri)
    [found] = guests(provider.scrape(None))
    provider.close()
    return figures(found)


@dataclass(frozen=True)
class Look:
    """What another tells of a guest, what the agent does then, and the other one once more."""

    before: Figures
    ours: Figures
    after: Figures

    def wrong(self, slack: Mapping[str, float]) -> dict[Name, tuple[float, float, float]]:
        """Of what both tell, what the agent's figure is not between. `slack`: of some metrics, what
        theirs may be off by."""
        found = {}
        for name in self.before.keys() & self.ours.keys() & self.after.keys():
            before, ours, after = self.before[name], self.ours[name], self.after[name]
            low, high = sorted((before, after))
            off = slack.get(name[0], 0) + 1e-12 * high  # sums of floats
            if not low - off <= ours <= high + off:
                found[name] = before, ours, after
        return found


def compare(look: Callable[[], Look], slack: Mapping[str, float]) -> Look:
    """The last of some looks: counters must be right in each, and what goes to and fro in one."""
    still_wrong: set[Name] | None = None
    for _ in range(_ROUNDS):
        found = look()
        wrong = found.wrong(slack)
        assert {n: wrong[n] for n in wrong if BY_NAME[n[0]].kind is Kind.COUNTER} == {}
        still_wrong = set(wrong) if still_wrong is None else still_wrong & set(wrong)
        if not still_wrong:
            break
    assert {name: wrong[name] for name in still_wrong or ()} == {}
    return found


@pytest.fixture(params=["processes are seen", "QEMU alone is asked"])
def uri(request: pytest.FixtureRequest, world: Lab) -> str:
    """Where the agent finds the pid files of QEMUs beside the socket, and where it does not."""
    if request.param == "processes are seen":
        return world.hosts[0].uri
    elsewhere = world.directory.parent / "socket"
    if not elsewhere.exists():
        elsewhere.symlink_to(world.hosts[0].socket)
    return f"qemu+unix:///system?socket={elsewhere}"


def beside_domstats(world: Lab, uri: str, untold: Set[str] = frozenset()) -> Look:
    """An agent that tells all that domstats does, but for the metrics `untold`."""
    is_seen = uri == world.hosts[0].uri
    found = compare(
        lambda: Look(told(world), measured(uri), told(world)),
        dict.fromkeys(_CPU, _TICKS_S) if is_seen else {},
    )
    missing = {metric for metric, _ in found.before.keys() - found.ours.keys()} - untold
    assert missing <= ({"libvirt.vcpu.wait_time"} if is_seen else set())
    return found


def test_a_guest_that_works_is_told_alike(world: Lab, uri: str) -> None:
    found = beside_domstats(world, uri)

    assert {metric for (metric, _), value in found.ours.items() if value > 0} >= _MOVES


def later(peer: Collectd, uuid: str, metrics: set[str], after: float) -> Figures:
    """What it read after that time, once it has told all metrics."""
    deadline = time.monotonic() + 20
    while True:
        found = peer.figures(uuid, after=after)
        missing = metrics - {metric for metric, _ in found}
        if not missing:
            return found
        assert time.monotonic() < deadline, missing
        time.sleep(0.1)


def test_collectd_tells_the_same(world: Lab, tmp_path: Path) -> None:
    slack = dict.fromkeys(_CPU, _TICKS_S) | dict.fromkeys(_COLLECTD_MS, 1e-3)
    uri = world.hosts[0].uri
    metrics = {metric for columns in COLLECTD.values() for metric, *_ in columns}
    uuid = world.guests[0].uuid
    with collectd(uri, tmp_path) as peer:

        def look() -> Look:
            before, ours = later(peer, uuid, metrics, 0), measured(uri)
            return Look(before, ours, later(peer, uuid, metrics, time.time() + 1))

        found = compare(look, slack)
    assert found.before.keys() <= found.ours.keys()


def test_a_paused_guest_and_one_that_is_off_are_told_alike(world: Lab, uri: str) -> None:
    guest = world.guests[0]
    conn = libvirt.open(world.hosts[0].uri)
    domain = conn.lookupByUUIDString(guest.uuid)

    domain.suspend()
    paused = beside_domstats(world, uri)
    taken = guest.disk.stat().st_blocks * 512
    domain.resume()
    domain.destroy()
    off = beside_domstats(world, uri, untold={"vm.cpu.time", "libvirt.memory.balloon"})
    domain.create()
    conn.close()

    assert ("vm.state", frozenset({("vm.state", "paused")})) in paused.before
    assert ("vm.state", frozenset({("vm.state", "stopped")})) in off.before
    assert {name for name, _ in paused.before} >= {"vm.disk.io", "vm.network.io", "vm.cpu.time"}
    assert paused.ours["vm.disk.usage", frozenset({("system.device", "vda")})] == taken
    assert {name for name, _ in off.before} >= {"vm.disk.limit", "vm.disk.usage"}
