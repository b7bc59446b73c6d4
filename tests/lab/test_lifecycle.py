"""Up, down, up again, and what happens when everything is shot in between."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from novacron_lab import libvirtd
from novacron_lab.cli import main
from novacron_lab.lab import Lab
from novacron_lab.namespaces import PREFIX
from novacron_lab.plan import GUESTS

pytestmark = pytest.mark.lab


@dataclass(frozen=True)
class Traces:
    """All that a lab could leave on the machine. `shared`: with other labs, if any is up."""

    namespaces: frozenset[str]
    mounts: frozenset[str]
    processes: frozenset[str]
    links: frozenset[str]
    directories: frozenset[Path]
    accounts: str
    shared: frozenset[Path] = field(compare=False)
    others: bool = field(compare=False)


def traces(lab: Lab) -> Traces:
    prefix = lab.hosts[0].namespace.name.removesuffix(lab.hosts[0].name)
    names = {path.name for path in Path("/run/netns").glob("*")}
    place = str(lab.directory)
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    return Traces(
        namespaces=frozenset(name for name in names if name.startswith(prefix)),
        mounts=frozenset(line for line in mounts if prefix in line or place in line),
        processes=frozenset(process.name for process in _processes_that_see(lab.directory)),
        links=frozenset(link for link in os.listdir("/sys/class/net")),
        directories=frozenset(filter(Path.exists, (lab.directory,))),
        accounts=Path("/etc/passwd").read_text() + Path("/etc/group").read_text(),
        shared=frozenset(filter(Path.exists, libvirtd.MOUNT_POINTS)),
        others=any(name.startswith(PREFIX) and not name.startswith(prefix) for name in names),
    )


def assert_nothing_is_left(lab: Lab, before: Traces) -> None:
    after = traces(lab)
    assert after == before
    if not (before.others or after.others):
        assert after.shared == before.shared


def _processes_that_see(place: Path) -> list[Path]:
    """Each process of a lab has mounts from below the lab's directory, which mountinfo names as its
    filesystem does."""
    device = next(path for path in (place, *place.parents) if path.is_mount())
    root = f" /{place.relative_to(device)}/"
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if root in (process / "mountinfo").read_text():
                found.append(process)
        except OSError:
            continue  # ended, or not ours to look into
    return found


def guest_of(lab: Lab) -> tuple[int, str, int]:
    """Identity, state and CPU time (ns) of the lab's only guest; the identity changes by a boot."""
    host = lab.guests[0].host
    with libvirtd.connection(host) as conn:
        domain = conn.lookupByName(lab.guests[0].name)
        return domain.ID(), domain.UUIDString(), domain.info()[4]


def shoot(lab: Lab) -> None:
    for host in lab.hosts:
        for pid in host.namespace.processes():
            os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + 10
    while any(host.namespace.processes() for host in lab.hosts) and time.monotonic() < deadline:
        time.sleep(0.05)


def test_down_leaves_no_trace_of_what_up_made(small_lab: Lab) -> None:
    before = traces(small_lab)
    small_lab.up()
    during = traces(small_lab)
    small_lab.down()

    assert_nothing_is_left(small_lab, before)
    assert len(during.namespaces) == 3
    assert len(during.processes) >= 3  # two libvirtd, one QEMU
    assert small_lab.directory in during.directories
    assert during.shared == set(libvirtd.MOUNT_POINTS)
    assert during.links == before.links
    assert during.accounts == before.accounts


def test_the_command_line_announces_what_it_makes_and_removes(
    small_lab: Lab, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [host.namespace.name for host in small_lab.hosts]
    assert main(["up", "--dir", str(small_lab.directory)]) == 0
    said = capsys.readouterr().out
    assert all(f"making namespace {name} with the bridge br0" in said for name in names)
    assert all(f"guest {plan.name} starts" in said for plan in GUESTS)

    assert main(["down", "--dir", str(small_lab.directory)]) == 0
    said = capsys.readouterr().out
    assert all(f"removing namespace {name}" in said for name in names)


def test_a_second_up_is_quick_and_keeps_the_guests(small_lab: Lab) -> None:
    small_lab.up()
    identity, uuid, _ = guest_of(small_lab)
    started = time.monotonic()
    small_lab.up()

    assert time.monotonic() - started < 2
    assert guest_of(small_lab)[:2] == (identity, uuid)


def test_a_killed_libvirtd_comes_back_with_its_guests_still_running(small_lab: Lab) -> None:
    small_lab.up()
    identity, uuid, cpu = guest_of(small_lab)
    daemon = small_lab.status().hosts[0].pid
    assert daemon is not None
    os.kill(daemon, signal.SIGKILL)
    while libvirtd.pid(small_lab.hosts[0]) is not None:
        time.sleep(0.05)
    status = small_lab.status()
    assert not status.hosts[0].alive
    assert [guest.state for guest in status.guests] == ["unknown"]

    small_lab.up()

    assert guest_of(small_lab)[:2] == (identity, uuid)
    assert guest_of(small_lab)[2] >= cpu
    assert small_lab.status().guests[0].state == "running"


def test_up_and_down_work_after_everything_was_killed(small_lab: Lab) -> None:
    before = traces(small_lab)
    small_lab.up()
    uuids = [host.uuid for host in small_lab.status().hosts]
    shoot(small_lab)
    assert not any(host.alive for host in small_lab.status().hosts)
    small_lab.up()
    assert [host.uuid for host in small_lab.status().hosts] == uuids
    assert small_lab.status().guests[0].state == "running"
    shoot(small_lab)
    small_lab.down()

    assert_nothing_is_left(small_lab, before)


def test_an_up_that_was_cut_short_is_repaired_by_the_next(small_lab: Lab) -> None:
    empty = replace(small_lab, plan=())
    empty.up()
    empty.hosts[0].namespace.ip("link", "delete", "br0")
    empty.up()

    assert all(host.alive for host in empty.status().hosts)
    assert empty.hosts[0].namespace.is_wired()


def test_a_stale_pid_file_never_leads_to_a_stranger(small_lab: Lab) -> None:
    empty = replace(small_lab, plan=())
    empty.up()
    shoot(empty)
    with subprocess.Popen(["sleep", "600"]) as stranger:
        try:
            for host in empty.hosts:
                (host.directory / "run/libvirtd.pid").write_text(str(stranger.pid))
            assert [host.pid for host in empty.status().hosts] == [None, None]
            empty.down()
            assert stranger.poll() is None
        finally:
            stranger.kill()


def test_down_clears_what_a_reboot_left(small_lab: Lab) -> None:
    """After a reboot the names of namespaces may still be files, with nothing behind them."""
    empty = replace(small_lab, plan=())
    empty.up()
    shoot(empty)
    left = [host.namespace.path for host in empty.hosts]
    for path in left:
        subprocess.run(["umount", str(path)], check=True)
        assert path.exists()
    assert not any(host.alive for host in empty.status().hosts)
    empty.down()

    assert not any(path.exists() for path in left)
    assert not empty.directory.exists()
