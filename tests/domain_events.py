"""What libvirt tells of guests, a line for each event: python domain_events.py URI ... >FILE

A process of its own, with connections of its own: what it writes owes nothing to NovaCron. While it
is connected, the in-memory guests of a libvirtd live.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence

import libvirt

READY = "ready"
_KINDS = {
    libvirt.VIR_DOMAIN_EVENT_STARTED: "start",
    libvirt.VIR_DOMAIN_EVENT_STOPPED: "stop",
    libvirt.VIR_DOMAIN_EVENT_SUSPENDED: "suspend",
    libvirt.VIR_DOMAIN_EVENT_RESUMED: "resume",
}


def main(uris: Sequence[str]) -> None:
    libvirt.virEventRegisterDefaultImpl()
    connections = [libvirt.open(uri) for uri in uris]
    for conn in connections:
        conn.domainEventRegisterAny(None, libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, _tell, None)
    _say(READY)
    while True:
        libvirt.virEventRunDefaultImpl()


def _tell(
    _conn: libvirt.virConnect, domain: libvirt.virDomain, event: int, _detail: int, _opaque: object
) -> None:
    if event in _KINDS:
        told = {"vm": domain.UUIDString(), "kind": _KINDS[event], "at": time.time()}
        _say(json.dumps(told))


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
