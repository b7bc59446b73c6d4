"""What a script does that starts guests by libvirt, beside which commands are measured:
python plain_starts.py URI PARALLEL NAME ..., which begins with the first line it is told."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import local

import libvirt


def main(uri: str, parallel: int, names: Sequence[str]) -> None:
    of_thread = local()

    def connect() -> None:
        of_thread.conn = libvirt.open(uri)

    def start(name: str) -> None:
        of_thread.conn.lookupByName(name).create()

    with ThreadPoolExecutor(parallel, initializer=connect) as pool:
        list(pool.map(len, names))  # its threads are there, and connected
        print("ready", flush=True)
        sys.stdin.readline()
        list(pool.map(start, names))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3:])
