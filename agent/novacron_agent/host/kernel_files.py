"""Small files of /proc and /sys."""

from __future__ import annotations

from pathlib import Path


def number(path: Path) -> int | None:
    """The one number in it; None where this kernel or this device has no such file or value."""
    try:
        return int(path.read_bytes())
    except (OSError, ValueError):
        return None


def word(path: Path) -> str:
    """The text in it; empty where there is none."""
    try:
        return path.read_bytes().decode("utf-8", "replace").strip()
    except OSError:
        return ""


def table(path: Path, *beginnings: str) -> dict[str, int]:
    """Lines of a name and a number: /proc/meminfo (sizes become bytes), /proc/vmstat, numastat;
    only those that begin so.

    Raises:
        OSError: it cannot be read.
        ValueError: there is something else in it.
    """
    numbers = {}
    for line in path.read_text(encoding="ascii", errors="replace").splitlines():
        if not line.startswith(beginnings or ""):
            continue
        name, value, *unit = line.split()
        numbers[name.removesuffix(":")] = int(value) * (1024 if unit == ["kB"] else 1)
    return numbers
