"""One question at a time, on a terminal; an empty answer is the one in brackets."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from novacron_contract.errors import ConfigError

T = TypeVar("T")


def ask(question: str, default: str, read: Callable[[str], T]) -> T:
    """Until `read` takes the answer; what is wrong with one is said.

    Raises:
        ConfigError: there is nobody to ask any more.
    """
    while True:
        print(f"{question} [{default}]: ", end="", file=sys.stderr, flush=True)
        line = sys.stdin.readline()
        if not line:
            print(file=sys.stderr)
            raise ConfigError("the answers ended: nothing was changed")
        try:
            return read(line.strip() or default)
        except ConfigError as err:
            print(f"  {err}", file=sys.stderr)


def words(text: str) -> tuple[str, ...]:
    """Separated by blanks or commas; "none" is no word."""
    found = tuple(text.replace(",", " ").split())
    return () if found == ("none",) else found


def file(text: str) -> Path:
    """
    Raises:
        ConfigError: there is none.
    """
    path = Path(text).expanduser().absolute()
    if not path.is_file():
        raise ConfigError(f"{path}: there is no such file")
    return path


def tell(*lines: str) -> None:
    print(*lines, sep="\n", file=sys.stderr, flush=True)
