"""A fresh Debian of this machine's release, booted by its own systemd beside everything else.

Packages come from where this machine's apt gets its own. The fresh tree is made once a week and
kept in the user's cache; each boot writes into memory alone, in namespaces, and takes seconds.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

_BOOT = Path(__file__).with_suffix(".sh")
_PATIENCE_S = 60.0
_PATH = "PATH=/usr/sbin:/usr/bin:/sbin:/bin"
# What any Debian writes while it runs.
_PASSING = ("/var/log/", "/var/cache/", "/var/lib/apt/", "/var/lib/systemd/timers/")


@dataclass(frozen=True, slots=True)
class Debian:
    """`pid` is that of its systemd."""

    pid: int

    def path(self, inside: str) -> Path:
        return Path(f"/proc/{self.pid}/root{inside}")

    def run(self, command: str, *, check: bool = True) -> subprocess.CompletedProcess[str]:
        enter = ("nsenter", "--target", str(self.pid), "--all", "--root", "--wd")
        clean = ("env", "-i", _PATH, "DEBIAN_FRONTEND=noninteractive", "sh", "-c", command)
        done = subprocess.run((*enter, *clean), capture_output=True, text=True)
        if check and done.returncode:
            raise AssertionError(f"{command}: {done.returncode}\n{done.stdout}{done.stderr}")
        return done

    def says(self, command: str) -> str:
        return self.run(command).stdout.strip()

    def files(self) -> set[str]:
        """Every path on its disk, but for what comes and goes in any Debian."""
        found = self.says("find / -xdev").splitlines()
        return {path for path in found if not path.startswith(_PASSING) and path[-4:] != "-old"}


@contextmanager
def booted(base: Path) -> Iterator[Debian]:
    group = _control_groups() / f"novacron-test-{os.getpid()}"
    with subprocess.Popen((_BOOT, base, group), stdout=subprocess.DEVNULL) as unshare:
        try:
            debian = Debian(_systemd(unshare))
            _until_it_runs(debian)
            yield debian
        finally:
            unshare.kill()  # and with it all that it started
            unshare.wait()
            _remove(group)


def fresh_debian(*packages: str) -> Path:
    """A folder with a minimal Debian and `packages`; it must not be written to."""
    sources = _sources()
    content = hashlib.sha256(repr((packages, sources)).encode()).hexdigest()[:12]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "novacron-debian"
    week = datetime.now(UTC).strftime("%G-W%V")
    folder = cache / f"{week}-{content}"
    if not folder.exists():
        cache.mkdir(parents=True, exist_ok=True)
        for old in cache.iterdir():
            if not old.name.startswith(week):
                shutil.rmtree(old)
        _bootstrap(folder, packages, sources)
    return folder


def _bootstrap(folder: Path, packages: Sequence[str], sources: str) -> None:
    draft = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f"{folder.name}-draft-"))
    try:
        include = f"--include={','.join(packages)}"
        make = ("mmdebstrap", "--quiet", "--mode=root", "--variant=minbase", include, *_options())
        done = subprocess.run((*make, _codename(), draft, "-"), input=sources, text=True)
        assert done.returncode == 0, "mmdebstrap failed"
        draft.rename(folder)
    except OSError:
        if not folder.exists():  # else another run was faster
            raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _sources() -> str:
    """Where this machine gets its release from."""
    line = "deb $(SITE) $(RELEASE) $(COMPONENT)"
    command = ("apt-get", "indextargets", "--format", line, "Created-By: Packages")
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    lines = (one for one in said.splitlines() if one.split()[2].startswith(_codename()))
    return "\n".join(sorted(set(lines))) + "\n"


def _options() -> list[str]:
    """How this machine reaches it: proxies, certificates."""
    names = ("Acquire::http", "Acquire::https", "Acquire::Check-Valid-Until", "Acquire::Check-Date")
    command = ("apt-config", "dump", "--no-empty", "--format", '%f "%v";%n', *names)
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return [f"--aptopt={line}" for line in said.splitlines()]


def _codename() -> str:
    return platform.freedesktop_os_release()["VERSION_CODENAME"]


def _systemd(unshare: subprocess.Popen[bytes]) -> int:
    """The process that unshare started, once it has become systemd."""
    deadline = time.monotonic() + _PATIENCE_S
    children = Path(f"/proc/{unshare.pid}/task/{unshare.pid}/children")
    while time.monotonic() < deadline:
        assert unshare.poll() is None, f"{_BOOT.name} ended"
        for child in children.read_text().split():
            if Path(f"/proc/{child}/comm").read_text().strip() == "systemd":
                return int(child)
        time.sleep(0.05)
    raise AssertionError("systemd did not start")


def _until_it_runs(debian: Debian) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while time.monotonic() < deadline:
        said = debian.run("systemctl is-system-running", check=False).stdout.strip()
        # "degraded" is a unit that needs a machine of its own; nothing here depends on one.
        if said in ("running", "degraded"):
            return
        time.sleep(0.1)
    raise AssertionError(debian.run("systemctl list-jobs; systemctl --failed").stdout)


def _control_groups() -> Path:
    """The machine's unified hierarchy, wherever it is mounted."""
    found = subprocess.run(
        ("findmnt", "--noheadings", "--output", "TARGET", "--types", "cgroup2", "--first-only"),
        capture_output=True,
        text=True,
        check=True,
    )
    return Path(found.stdout.strip())


def _remove(group: Path) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while group.exists() and time.monotonic() < deadline:
        # The kernel lets go of a group a moment after its last process.
        subprocess.run(
            ("find", group, "-depth", "-type", "d", "-exec", "rmdir", "{}", ";"),
            capture_output=True,
        )
        time.sleep(0.05)
