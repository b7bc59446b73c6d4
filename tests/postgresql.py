"""A private PostgreSQL cluster from Debian's own package, for tests."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_MISSING = "PostgreSQL's server programs are missing: apt-get install postgresql"


@contextmanager
def private_cluster() -> Iterator[str]:
    """The SQLAlchemy URL of an empty cluster on a Unix socket, gone afterwards."""
    programs = _programs()
    folder = Path(tempfile.mkdtemp(prefix="novacron-pg-"))
    try:
        if os.geteuid() == 0:  # the server refuses to run as root
            shutil.chown(folder, "postgres", "postgres")
        data = folder / "data"
        _run(programs / "initdb", "-D", data, "-U", "novacron", "-A", "trust", "--no-sync")
        options = f"-c listen_addresses='' -c unix_socket_directories={folder} -c fsync=off"
        start = ("-D", data, "-l", folder / "log", "-w", "-o", options, "start")
        _run(programs / "pg_ctl", *start)
        try:
            yield f"postgresql+psycopg://novacron@/postgres?host={folder}"
        finally:
            _run(programs / "pg_ctl", "-D", data, "-m", "immediate", "-w", "stop")
    finally:
        shutil.rmtree(folder)


def _programs() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not found:
        raise FileNotFoundError(_MISSING)
    return found[-1].parent


def _run(*command: str | Path) -> None:
    prefix = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    line = [*prefix, *map(str, command)]
    # Into files, not pipes: the server inherits them and would keep a pipe open for ever.
    with tempfile.TemporaryFile("w+") as output:
        done = subprocess.run(line, stdout=output, stderr=output, cwd="/", check=False)
        output.seek(0)
        assert done.returncode == 0, f"{' '.join(line)}: {output.read()}"
