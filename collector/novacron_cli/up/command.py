"""The commands `up` and `down`."""

from __future__ import annotations

import argparse
import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

from novacron_cli.collector_file import default_path
from novacron_cli.up import hypervisors
from novacron_cli.up.data_folder import DataFolder
from novacron_cli.up.hypervisors import LIBVIRT_URI, Lab
from novacron_cli.up.saying import say
from novacron_contract.errors import Refused, Unavailable

if TYPE_CHECKING:
    from novacron_cli.command import Commands

_STOPPING_TAKES = 90.0


def add_to(commands: Commands) -> None:
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument(
        "--data", type=Path, default=default_path(), help="the data folder (%(default)s)"
    )
    shared.add_argument(
        "--lab-dir",
        type=Path,
        default=hypervisors.LAB_DIRECTORY,
        help="where the lab lives (%(default)s)",
    )
    starter = commands.add_parser(
        "up", parents=[shared], help="run all of NovaCron on this machine until Ctrl-C"
    )
    starter.add_argument(
        "--libvirt",
        default=LIBVIRT_URI,
        metavar="URI",
        help="this machine's hypervisor, where it answers (%(default)s)",
    )
    starter.add_argument("--no-lab", action="store_true", help="never start the lab")
    starter.add_argument(
        "--port-offset",
        type=port_offset,
        default=0,
        metavar="N",
        help="add N to every port, to run beside what takes the usual ones",
    )
    starter.add_argument(
        "--restore",
        type=Path,
        metavar="FOLDER",
        help="begin with what `novacron backup` copied there; the data folder is to be new",
    )
    starter.set_defaults(run=_up)
    stopper = commands.add_parser(
        "down", parents=[shared], help="stop a running `novacron up` and remove the lab"
    )
    stopper.set_defaults(run=down)


def _up(args: argparse.Namespace) -> int:
    # The state database takes half a second to load: only the command that needs it waits for it
    from novacron_cli.up.run import up

    return up(args)


def down(args: argparse.Namespace) -> int:
    data, lab = DataFolder(args.data.resolve()), Lab(args.lab_dir.resolve())
    holder = data.claim.holder()
    if holder is not None:
        say("novacron", f"stopping process {holder['pid']}")
        _stop_process(holder["pid"], data)
    if lab.exists():
        lab.down(lambda line: say("lab", line))
    elif holder is None:
        nothing = f"does not run from {data.path}, and there is no lab"
        say("novacron", f"{nothing}; did another user start it?")
        return 0
    say("novacron", "stopped")
    return 0


def _stop_process(pid: int, data: DataFolder) -> None:
    try:
        os.kill(pid, signal.SIGTERM)
    except PermissionError as err:
        raise Refused(f"process {pid} is another user's: stop it as that user") from err
    deadline = time.monotonic() + _STOPPING_TAKES
    while data.claim.holder() is not None:
        if time.monotonic() > deadline:
            raise Unavailable(f"process {pid} does not stop; see {data.log}")
        time.sleep(0.1)


def port_offset(text: str) -> int:
    if not text.isdecimal() or int(text) > 50_000:
        raise argparse.ArgumentTypeError(f"expected 0 to 50000, got {text!r}")
    return int(text)
