"""novacron-lab: two KVM hosts with real guests on this machine, up and down by one command."""

from __future__ import annotations

import argparse
import dataclasses
import json
import shutil
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from novacron_contract.errors import ConfigError, NovaCronError
from novacron_lab.kernel import CACHE
from novacron_lab.lab import Lab, LabStatus

_DIRECTORY = Path("/var/lib/novacron-lab")


def main(argv: Sequence[str] | None = None) -> int:
    args = _parser().parse_args(argv)
    lab = Lab(
        directory=args.dir,
        domain_type="kvm" if getattr(args, "kvm", False) else "qemu",
        say=partial(print, flush=True),
    )
    try:
        _do(args, lab)
    except NovaCronError as err:
        print(f"novacron-lab: {err}", file=sys.stderr)
        return 2 if isinstance(err, ConfigError) else 1
    except OSError as err:  # a full disk, a file that is in use
        print(f"novacron-lab: {err}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _do(args: argparse.Namespace, lab: Lab) -> None:
    match args.command:
        case "up":
            lab.up()
        case "down":
            lab.down()
            if args.purge:
                shutil.rmtree(CACHE, ignore_errors=True)
        case "status":
            status = lab.status()
            print(json.dumps(dataclasses.asdict(status)) if args.json else _table(status))
        case "load":
            lab.load(args.guest, args.seconds)
            print(f"{args.guest} is busy for {args.seconds} s")
        case "exec":
            lab.exec(args.host, args.argv)


def _table(status: LabStatus) -> str:
    lines = []
    for host in status.hosts:
        state = f"libvirtd {host.pid}" if host.alive else "down"
        lines.append(f"{host.name}  {state}  {host.uri}")
        lines += (
            f"  {guest.name:<10} {guest.state:<14} {guest.address:<12} {guest.uuid}"
            for guest in status.guests
            if guest.host == host.name
        )
    return "\n".join(lines)


def _seconds(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 3600:
        raise argparse.ArgumentTypeError(f"expected 1 to 3600 whole seconds, got {text!r}")
    return int(text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="novacron-lab", description=__doc__)
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument(
        "--dir", type=Path, default=_DIRECTORY, help=f"where the lab lives ({_DIRECTORY})"
    )
    commands = parser.add_subparsers(dest="command", required=True)
    up = commands.add_parser("up", parents=[shared], help="start what does not run yet")
    up.add_argument("--kvm", action="store_true", help="run guests by KVM, where that works")
    down = commands.add_parser("down", parents=[shared], help="remove everything")
    down.add_argument("--purge", action="store_true", help=f"the kernels in {CACHE} too")
    status = commands.add_parser("status", parents=[shared], help="hosts and guests")
    status.add_argument("--json", action="store_true")
    load = commands.add_parser("load", parents=[shared], help="keep a guest's CPU busy")
    load.add_argument("guest")
    load.add_argument("--seconds", type=_seconds, default=30, help="1 to 3600 (30)")
    execute = commands.add_parser("exec", parents=[shared], help="run a command on a lab host")
    execute.add_argument("host")
    execute.add_argument(
        "argv", nargs="+", metavar="COMMAND", help="after --, such as: -- virsh list"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
