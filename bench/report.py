"""One benchmark's figures: a table on the screen, and bench/out/NAME.json for comparisons."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

_ROOT = Path(__file__).resolve().parent.parent


def report(name: str, figures: Mapping[str, float], said: Mapping[str, str] | None = None) -> None:
    """Print `figures` and write them, with machine and commit, to bench/out/`name`.json; `said` is
    what is to be said of some of them."""
    said = said or {}
    width = max(map(len, [*figures, *said]), default=0)
    print(f"\n{name}")
    for figure, value in figures.items():
        print(f"  {figure:<{width}}  {value:>14,.2f}")
    for figure, text in said.items():
        print(f"  {figure:<{width}}  {text}")
    out = _ROOT / "bench" / "out" / f"{name}.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    document = {
        "figures": dict(figures),
        "said": dict(said),
        "machine": _machine(),
        "commit": _commit(),
    }
    out.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    print(f"  written to {out.relative_to(_ROOT)}")


def _machine() -> dict[str, str | int | float]:
    return {
        "cpu": _cpu_model(),
        "cpus": os.cpu_count() or 0,
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "load_1m": round(os.getloadavg()[0], 2),
        "system": platform.platform(),
        "python": platform.python_version(),
        "chdb": version("chdb"),
    }


def _cpu_model() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    return next((ln.split(":", 1)[1].strip() for ln in lines if ln.startswith("model name")), "?")


def _commit() -> str:
    """The commit measured; "+" marks changes that are not in it."""
    head = _git("rev-parse", "HEAD")
    return f"{head}+" if _git("status", "--porcelain", "--untracked-files=no") else head


def _git(*args: str) -> str:
    done = subprocess.run(["git", *args], cwd=_ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip()
