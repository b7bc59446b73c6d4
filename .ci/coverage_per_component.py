"""Fail unless the tests run at least 80 % of every component that has code."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import tomllib
from collections import Counter
from pathlib import Path
from typing import Any

LEAST = 80.0


def main() -> int:
    components = _components()
    covered = _by_component(_measured(), components)
    failed = False
    for name in components:
        possible, seen = covered[name, "possible"], covered[name, "seen"]
        if not possible:
            print(f"{name:<22} no code yet")
            continue
        percent = 100.0 * seen / possible
        enough = percent >= LEAST
        failed |= not enough
        print(f"{name:<22} {percent:5.1f} %{'' if enough else f'   less than {LEAST:.0f} %'}")
    return int(failed)


def _components() -> list[str]:
    settings = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))
    return list(settings["tool"]["coverage"]["run"]["source_pkgs"])


def _measured() -> dict[str, Any]:
    """What coverage.py knows of each file, the parts of all processes put together."""
    coverage = (sys.executable, "-m", "coverage")
    if list(Path().glob(".coverage.*")):
        subprocess.run((*coverage, "combine", "--quiet"), check=True)
    with tempfile.NamedTemporaryFile(suffix=".json") as report:
        subprocess.run((*coverage, "json", "--quiet", "-o", report.name), check=True)
        return dict(json.loads(Path(report.name).read_bytes())["files"])


def _by_component(files: dict[str, Any], components: list[str]) -> Counter[tuple[str, str]]:
    """Lines and branches, as coverage.py's own percentage counts them."""
    counts: Counter[tuple[str, str]] = Counter()
    for path, file in files.items():
        name = next(part for part in Path(path).parts if part in components)
        found = file["summary"]
        counts[name, "possible"] += found["num_statements"] + found["num_branches"]
        counts[name, "seen"] += found["covered_lines"] + found["covered_branches"]
    return counts


if __name__ == "__main__":
    sys.exit(main())
