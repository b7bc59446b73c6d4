"""A lab: two KVM hosts and their guests on this machine. For trying NovaCron, and for its tests."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from novacron_contract.errors import ConfigError, NotFound
from novacron_lab import guests, initrd, kernel, libvirtd, namespaces, requirements
from novacron_lab.errors import LabError
from novacron_lab.guests import Guest
from novacron_lab.layout import Host, Layout, layout
from novacron_lab.namespaces import Namespace
from novacron_lab.plan import GUESTS, HOST_NAMES, GuestPlan


@dataclass(frozen=True, slots=True)
class GuestStatus:
    name: str
    uuid: str
    host: str
    address: str
    state: str  # "unknown" while the host's libvirtd does not answer


@dataclass(frozen=True, slots=True)
class HostStatus:
    name: str
    uuid: str
    uri: str
    namespace: str
    pid: int | None
    alive: bool  # its libvirtd answers


@dataclass(frozen=True, slots=True)
class LabStatus:
    hosts: tuple[HostStatus, ...]
    guests: tuple[GuestStatus, ...]


def _silent(_line: str) -> None:
    pass


@dataclass(frozen=True, slots=True, kw_only=True)
class Lab:
    """Several labs may run beside each other, each in its own directory."""

    directory: Path
    plan: tuple[GuestPlan, ...] = GUESTS
    cache: Path = kernel.CACHE
    domain_type: str = "qemu"  # "kvm": faster, where the machine's KVM really runs guests
    say: Callable[[str], None] = _silent

    @property
    def hosts(self) -> tuple[Host, ...]:
        place = self._layout
        return tuple(place.host(name, number) for number, name in enumerate(HOST_NAMES, start=1))

    @property
    def guests(self) -> tuple[Guest, ...]:
        """In the plan's order; each one fetches from the next, the last one from the first."""
        place = self._layout
        hosts = {host.name: host for host in self.hosts}
        count = len(self.plan)
        return tuple(
            Guest(
                plan=plan,
                uuid=place.uuid(plan.name),
                host=hosts[plan.host],
                address=place.address(number),
                peer=place.address((number + 1) % count) if count > 1 else None,
                disk=place.directory / f"{plan.name}.qcow2",
                console=place.directory / f"{plan.name}.console",
            )
            for number, plan in enumerate(self.plan)
        )

    def host(self, name: str) -> Host:
        for host in self.hosts:
            if host.name == name:
                return host
        raise NotFound(f"no host {name!r} in the lab; it has {', '.join(HOST_NAMES)}")

    def guest(self, name: str) -> Guest:
        for guest in self.guests:
            if guest.name == name:
                return guest
        names = ", ".join(guest.name for guest in self.guests)
        raise NotFound(f"no guest {name!r} in the lab; it has {names}")

    def up(self) -> None:
        """Bring up whatever is not running; what runs is left alone.

        Raises:
            LabError: the machine cannot run a lab; the message says what to do.
        """
        started = time.monotonic()
        requirements.check()
        image = kernel.cached(self.cache)
        if image is None:
            self.say("downloading the guests' kernel")
            image = kernel.fetch(self.cache)
        self._claim_directory()
        with namespaces.alone():
            self._ensure_namespaces()
        self._layout.initrd.write_bytes(initrd.build(image.modules))
        with ThreadPoolExecutor(len(self.hosts)) as pool:
            list(pool.map(partial(self._ensure_host, image=image), self.hosts))
        self.say(f"the lab runs after {time.monotonic() - started:.1f} s")

    def down(self) -> None:
        """Remove everything, whether it runs, was killed, or went with a reboot."""
        place = self._layout
        self._remove_namespaces()
        with namespaces.alone():
            if not namespaces.left():
                libvirtd.remove_mount_points()
        if place.marker.exists():
            self.say(f"removing {place.directory}")
            shutil.rmtree(place.directory)

    def status(self) -> LabStatus:
        states: dict[str, str] = {}
        hosts = []
        for host in self.hosts:
            pid = libvirtd.pid(host)
            try:
                with libvirtd.connection(host) as conn:
                    states |= guests.states(conn)
                alive = True
            except LabError:
                alive = False
            name = host.namespace.name
            hosts.append(HostStatus(host.name, host.uuid, host.uri, name, pid, alive))
        found = (
            GuestStatus(g.name, g.uuid, g.host.name, g.address, states.get(g.uuid, "unknown"))
            for g in self.guests
        )
        return LabStatus(tuple(hosts), tuple(found))

    def wait_until_up(self, timeout: float = 120) -> None:
        """Return once every guest has booted and does its work."""
        guests.wait_until_up(self.guests, timeout)

    def load(self, name: str, seconds: int) -> None:
        """Keep a guest's vCPU busy; returns once it has begun."""
        guest = self.guest(name)
        if not guest.host.namespace.exists():
            raise LabError("the lab is down; start it by: novacron-lab up")
        guests.wait_until_up((guest,), timeout=60)
        guests.start_load(guest, seconds)

    def exec(self, host_name: str, command: Sequence[str]) -> None:
        """Become a command that sees the machine as the lab host does. Does not return."""
        host = self.host(host_name)
        pid = libvirtd.pid(host)
        if pid is None:
            raise LabError(f"libvirtd of {host.name} does not run; start it by: novacron-lab up")
        whole = ("--mount", "--net", "--uts", "--root", "--wd")
        enter = ("nsenter", f"--target={pid}", *whole, "--", *command)
        os.execvp(enter[0], enter)

    @property
    def _layout(self) -> Layout:
        return layout(self.directory)

    @property
    def _namespaces(self) -> tuple[Namespace, ...]:
        return (*(host.namespace for host in self.hosts), self._layout.lan)

    def _claim_directory(self) -> None:
        place = self._layout
        place.directory.mkdir(parents=True, exist_ok=True)
        if not place.marker.exists() and any(place.directory.iterdir()):
            raise ConfigError(f"{place.directory}: is neither empty nor a lab; name another one")
        place.marker.write_text(f"remove it by: novacron-lab down --dir {place.directory}\n")

    def _ensure_namespaces(self) -> None:
        """All of them or none: what an interrupted `up` left half made is made anew."""
        if all(namespace.is_wired() for namespace in self._namespaces):
            return
        self._remove_namespaces()
        lan = self._layout.lan
        self.say(f"making namespace {lan.name} with the bridge br0: the LAN")
        namespaces.make_lan(lan)
        for host in self.hosts:
            self.say(f"making namespace {host.namespace.name} with the bridge br0")
            namespaces.make_member(host.namespace, lan, port=host.name, address=host.address)

    def _remove_namespaces(self) -> None:
        for namespace in self._namespaces:
            if namespace.path.exists():
                self.say(f"removing namespace {namespace.name} and what runs in it")
                namespace.remove()

    def _ensure_host(self, host: Host, image: kernel.Kernel) -> None:
        if not libvirtd.answers(host):
            libvirtd.start(host, self.hosts, self.cache / "libvirt")
            self.say(f"{host.name}: libvirtd answers at {host.uri}")
        with libvirtd.connection(host) as conn:
            guests.ensure_network(conn)
            for guest in self.guests:
                if guest.host == host and guests.ensure_running(
                    conn, guest, image, self._layout.initrd, self.domain_type
                ):
                    self.say(f"{host.name}: guest {guest.name} starts")
