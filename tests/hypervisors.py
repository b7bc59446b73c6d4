"""A libvirtd of a test's own with guests, and an account of what happens to them that NovaCron has
no part in. The guests are QEMU's with a firmware that does nothing, or of libvirt's in-memory
driver."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from importlib import resources
from pathlib import Path

import libvirt

import domain_events
from delivering import wait_until
from novacron_lab import libvirtd
from novacron_lab.lab import Lab
from novacron_lab.layout import Host
from reaping import reaping

_FIRMWARE = b"\0" * 0xFFF0 + b"\xfa\xf4\xeb\xfd".ljust(16, b"\0")  # cli; hlt: it costs no CPU
_QEMU = """<domain type='qemu'><name>{name}</name><memory unit='MiB'>16</memory><vcpu>1</vcpu>
<os><type arch='x86_64' machine='pc'>hvm</type><loader type='rom'>{firmware}</loader></os>
<features><acpi/></features>
<devices><controller type='usb' model='none'/><memballoon model='none'/></devices></domain>"""
_TEST = """<domain type='test'><name>{name}</name><memory unit='MiB'>16</memory>
<os><type>hvm</type></os></domain>"""
_CALL = re.compile(
    r"(?P<at>\S+ \S+): \d+: debug : virDomain(?P<name>[A-Za-z]+):\d+ : .*"
    r"uuid=(?P<vm>[0-9a-f-]{36})\)"
)


class Driver(StrEnum):
    QEMU = "qemu"
    TEST = "test"  # within libvirtd, so that its guests outlive an agent


@dataclass(frozen=True, slots=True)
class Happened:
    """To a guest, at a Unix second: a lifecycle event, or a call that libvirtd was asked for."""

    vm: str
    kind: str
    at: float


@dataclass(frozen=True)
class Hypervisors:
    """`beside`: another host, which has no guests yet."""

    host: Host
    beside: Host
    folder: Path

    def uri(self, driver: Driver) -> str:
        test = f"test+unix:///default?socket={self.host.socket}"
        return self.host.uri if driver is Driver.QEMU else test

    def define(self, driver: Driver, names: Sequence[str]) -> dict[str, str]:
        """Guests that are off; their ids by their names."""
        conn = libvirt.open(self.uri(driver))
        xml = _QEMU if driver is Driver.QEMU else _TEST
        firmware = self.folder / "firmware"
        firmware.write_bytes(_FIRMWARE)
        filled = {name: xml.format(name=name, firmware=firmware) for name in names}
        found = {name: conn.defineXML(one).UUIDString() for name, one in filled.items()}
        conn.close()
        return found

    def events(self) -> list[Happened]:
        lines = self._events.read_text().splitlines()
        return [Happened(**json.loads(line)) for line in lines if line != domain_events.READY]

    def calls(self) -> list[Happened]:
        """Names as in libvirt's API: Create, Reset, ..."""
        log = (self.host.directory / "log/libvirtd.log").read_text(errors="replace")
        return [
            Happened(found["vm"], found["name"], _unix(found["at"]))
            for found in map(_CALL.match, log.splitlines())
            if found is not None
        ]

    @property
    def _events(self) -> Path:
        return self.folder / "events"

    @contextmanager
    def watched(self) -> Iterator[None]:
        uris = [*map(self.uri, Driver), self.beside.uri]
        command = [sys.executable, domain_events.__file__, *uris]
        with self._events.open("w") as out, subprocess.Popen(command, stdout=out) as watcher:
            try:
                wait_until(lambda: domain_events.READY in self._events.read_text(), 30)
                yield
                assert watcher.poll() is None, "it watched to the end"
            finally:
                watcher.kill()


@contextmanager
def hypervisors(*, calls: bool = False) -> Iterator[Hypervisors]:
    """`calls`: let libvirtd log what it is asked for."""
    with ExitStack() as ends:
        ends.enter_context(reaping())
        place = ends.enter_context(tempfile.TemporaryDirectory(prefix="nclab-", dir="/tmp"))
        lab = Lab(directory=Path(place) / "lab", plan=())
        ends.callback(lab.down)
        lab.up()
        host, beside = lab.hosts
        found = Hypervisors(host, beside, Path(place))
        if calls:
            _log_calls(lab, found.host)
        ends.enter_context(found.watched())
        yield found


def _log_calls(lab: Lab, host: Host) -> None:
    """The lab's libvirtd is started once more, with a log of every call about a guest."""
    pid = libvirtd.pid(host)
    assert pid is not None
    os.kill(pid, signal.SIGTERM)
    wait_until(lambda: libvirtd.pid(host) is None, 20)
    settings = host.directory / "etc/libvirtd.conf"
    text = settings.read_text().replace('"3:file', '"1:file')
    settings.write_text(f'{text}log_filters = "1:libvirt.domain 4:*"\n')
    script = resources.files("novacron_lab") / "host/start.sh"
    with resources.as_file(script) as path:
        command = [
            *("nsenter", f"--net={host.namespace.path}"),
            *("unshare", "--mount", "--uts", "--propagation", "unchanged"),
            *("sh", str(path), str(host.directory), host.name, str(lab.cache / "libvirt")),
        ]
        subprocess.run(command, check=True, cwd="/", stdin=subprocess.DEVNULL)
    wait_until(lambda: libvirtd.answers(host), 20)


def _unix(text: str) -> float:
    moment = datetime.strptime(text, "%Y-%m-%d %H:%M:%S.%f%z")
    return moment.astimezone(UTC).timestamp()


def settle() -> None:
    """Events come soon after what they tell of."""
    time.sleep(0.5)
