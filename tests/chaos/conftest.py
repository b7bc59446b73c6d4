"""Systems of their own, disks that are full, and the length of what takes long."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from chaos.programs import MakeSystem, System, system


@pytest.fixture
def start(tmp_path: Path) -> Iterator[MakeSystem]:
    """Makes and starts a system; it is gone when the test ends."""
    with ExitStack() as ends:

        def make(**options: object) -> System:
            parts = system(tmp_path, **options)  # type: ignore[arg-type]
            ends.callback(parts.end)
            parts.start()
            return parts

        yield make


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Mounts a file system of that size: "64m"."""
    with ExitStack() as ends:

        def mount(size: str) -> Path:
            folder = tmp_path / f"disk-{size}"
            folder.mkdir()
            options = ("-t", "tmpfs", "-o", f"size={size}", "novacron-chaos", str(folder))
            subprocess.run(("mount", *options), check=True)
            ends.callback(subprocess.run, ("umount", "--lazy", str(folder)), check=True)
            return folder

        yield mount


@pytest.fixture
def away_s() -> float:
    """How long the store is gone: NOVACRON_CHAOS_AWAY_S, 600 for the full form."""
    return float(os.environ.get("NOVACRON_CHAOS_AWAY_S", "8"))
