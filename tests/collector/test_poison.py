"""A request that ends the process is found out and refused, whatever else was in hand with it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from novacron_collector.wal.poison import Poison

GOOD, BAD = b"good".ljust(16), b"bad!".ljust(16)

_PROCESS = """
import os, signal, sys
from pathlib import Path
from novacron_collector.wal.poison import Poison
poison = Poison(Path(sys.argv[1]), 1000)
keys = [key.ljust(16).encode() for key in sys.argv[2:]]
alone = poison.suspects(keys)
groups = [[key for key in keys if key not in alone], *([key] for key in keys if key in alone)]
for group in filter(None, groups):
    if poison.is_poison(group[0]):
        poison.keep(group[0], b"body of " + group[0])
        continue
    with poison.in_hand(group):
        if b"bad!".ljust(16) in group:
            os.kill(os.getpid(), signal.SIGKILL)
    poison.cleared(group)
"""


def process(folder: Path, *keys: str) -> int:
    command = [sys.executable, "-c", _PROCESS, str(folder), *keys]
    return subprocess.run(command, check=False, timeout=60).returncode


def test_what_ends_the_process_again_and_again_is_refused_and_kept(tmp_path: Path) -> None:
    ended = [process(tmp_path, "good", "bad!") for _ in range(7)]
    assert ended == [-signal.SIGKILL] * 6 + [0], "once with its neighbour, then five times alone"
    assert Poison(tmp_path, 1000).suspects([GOOD, BAD]) == {BAD}
    (letter,) = tmp_path.glob("*.otlp")
    assert letter.read_bytes() == b"body of " + BAD


def test_one_that_is_handled_well_later_is_no_longer_suspected(tmp_path: Path) -> None:
    poison = Poison(tmp_path, 1000)
    poison.failed(BAD)
    poison.failed(GOOD)
    poison.cleared([GOOD])
    assert Poison(tmp_path, 1000).suspects([GOOD, BAD]) == {BAD}


def test_the_folder_is_bounded(tmp_path: Path) -> None:
    poison = Poison(tmp_path, 100)
    for _ in range(5):
        poison.keep(os.urandom(16), b"x" * 40)
    assert poison.letters == len(list(tmp_path.glob("*.otlp"))) == 2


def test_a_list_of_suspects_that_cannot_be_read_stops_nobody(tmp_path: Path) -> None:
    Poison(tmp_path, 100).failed(BAD)
    (tmp_path / "suspects.json").write_text("[1")
    assert Poison(tmp_path, 100).suspects([BAD]) == set()
