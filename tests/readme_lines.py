"""The commands of README.md, as a reader copies them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


def commands(section: str) -> list[str]:
    """Of all blocks below a heading, in order; one that is given text goes on to its end."""
    body = README.partition(f"## {section}\n")[2].partition("\n## ")[0]
    found: list[str] = []
    for block in re.findall(r"(?ms)^```\n(.*?)^```$", body):
        lines = iter(block.splitlines())
        for line in lines:
            if end := re.search(r"<<'(\w+)'$", line):
                line = "\n".join([line, *_until(end[1], lines)])
            found.append(line)
    return found


def _until(end: str, lines: Iterator[str]) -> list[str]:
    taken: list[str] = []
    for line in lines:
        taken.append(line)
        if line == end:
            break
    return taken
