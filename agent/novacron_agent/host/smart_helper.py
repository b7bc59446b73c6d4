"""novacron-smart: reads the disks' SMART health as root, for the agent, which is not root.

systemd starts it for each connection to its socket, with the connection as standard input. It reads
nothing from there: whoever asks can say nothing, and gets one JSON document. What runs as root is
this file, the standard library, and smartctl.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import pwd
import re
import select
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

VERSION = 1  # of the document
_ONE_S = 10.0  # for one call of smartctl: a broken disk may not answer
_ALL_S = 60.0
_ONE_BYTES = 256 * 1024
_ALL_BYTES = 2 * 1024**2
_DISKS = 64
_SEND_S = 10.0
_GONE_S = 1.0  # for a process that was killed; one that hangs in the kernel stays
_PEER = struct.Struct("3i")  # pid, uid, gid
_DEVICE = re.compile(r"/dev/[A-Za-z0-9][A-Za-z0-9/_-]{0,63}")
_TYPE = re.compile(r"[A-Za-z0-9][A-Za-z0-9,+/_-]{0,63}")
# Of what smartctl says; the rest stays here
_WANTED = (
    "smartctl",
    "model_name",
    "scsi_model_name",
    "serial_number",
    "firmware_version",
    "scsi_revision",
    "rotation_rate",
    "user_capacity",
    "nvme_total_capacity",
    "smart_status",
    "temperature",
    "power_on_time",
    "power_cycle_count",
    "endurance_used",
    "ata_smart_attributes",
    "nvme_smart_health_information_log",
    "scsi_grown_defect_list",
    "scsi_error_counter_log",
    "scsi_percentage_used_endurance_indicator",
)


def main(argv: Sequence[str] | None = None) -> int:
    args = _parser().parse_args(argv)
    try:
        connection = socket.socket(fileno=os.dup(sys.stdin.fileno()))
    except OSError as err:
        return _fail(f"standard input is no connection: {err.strerror}; systemd starts this")
    with connection:
        try:
            if not _serves(connection, args.user):
                return _fail(f"only root and {args.user!r} are served")
            connection.settimeout(_SEND_S)
            connection.sendall(json.dumps(document()).encode())
            connection.shutdown(socket.SHUT_WR)
        except OSError as err:
            return _fail(f"the answer could not be sent: {err}")
    return 0


def document() -> dict[str, Any]:
    """What smartctl says of each disk; `error` where it cannot be asked, or there was too much."""
    end = time.monotonic() + _ALL_S
    disks: list[dict[str, Any]] = []
    answer = {"version": VERSION, "disks": disks}
    size = 0
    try:
        for name, kind in _scan(end):
            report = _smartctl(end, "-n", "standby", "-i", "-H", "-A", "-d", kind, name)
            disk = {"name": name, "type": kind, "report": _wanted(report)}
            size += len(json.dumps(disk))
            if size > _ALL_BYTES:
                return {**answer, "error": "the disks say too much"}
            disks.append(disk)
    except OSError as err:
        return {**answer, "error": f"smartctl cannot be run: {err.strerror}"}
    return answer


def _serves(connection: socket.socket, user: str) -> bool:
    """The kernel says who asks."""
    peer = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size)
    uid: int = _PEER.unpack(peer)[1]
    if uid == 0:
        return True
    try:
        return uid == pwd.getpwnam(user).pw_uid
    except KeyError:
        return False


def _scan(end: float) -> Iterator[tuple[str, str]]:
    found = _smartctl(end, "--scan-open").get("devices")
    for device in found[:_DISKS] if isinstance(found, list) else []:
        match device:
            case {"name": str(name), "type": str(kind)}:
                if _DEVICE.fullmatch(name) and _TYPE.fullmatch(kind):
                    yield name, kind


def _wanted(report: dict[str, Any]) -> dict[str, Any]:
    return {key: report[key] for key in _WANTED if key in report}


def _smartctl(end: float, *options: str) -> dict[str, Any]:
    """What it says; nothing if it takes too long, says too much, or is not JSON."""
    output = _output(("smartctl", "-j", *options), min(end, time.monotonic() + _ONE_S))
    try:
        said = json.loads(output)
    except (ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}


def _output(command: tuple[str, ...], end: float) -> bytes:
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    assert process.stdout is not None
    try:
        return _read(process.stdout.fileno(), end)
    finally:
        process.stdout.close()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_GONE_S)


def _read(pipe: int, end: float) -> bytes:
    """All of it, or nothing."""
    data = bytearray()
    while len(data) <= _ONE_BYTES:
        left = end - time.monotonic()
        if left <= 0 or not select.select([pipe], [], [], left)[0]:
            break
        more = os.read(pipe, 65536)
        if not more:
            return bytes(data)
        data += more
    return b""


def _fail(reason: str) -> int:
    sys.stderr.write(f"novacron-smart: {reason}\n")
    return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="novacron-smart",
        description="Writes the SMART health of this machine's disks, as JSON, to the connection "
        "that is its standard input. novacron-smart.socket starts it.",
    )
    parser.add_argument(
        "--user",
        default="novacron-agent",
        help="who may ask, besides root (%(default)s)",
        metavar="NAME",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
