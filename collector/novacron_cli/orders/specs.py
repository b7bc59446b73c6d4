"""The spec of a VM as somebody wrote it, changed by what the command line says, and checked before
anybody is asked: what is wrong is told with the line it is on."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from novacron_cli.orders.spec_file import MAX_BYTES, Document, parse, scalar
from novacron_cli.orders.spec_file import Path as At
from novacron_contract import vm_spec
from novacron_contract.errors import BadMessage, ConfigError

STDIN = "-"
_STEP = re.compile(r"([^.\[\]]+)((?:\[\d+\])*)")
_UNKNOWN = re.compile(r"unknown: '([^']*)'")
_PLACE = re.compile(r"\[(\d+)\]")


def read(source: str, changes: Sequence[str], user_data: Path | None) -> tuple[Any, Document]:
    """The spec with the changes, and what it was read from. `source`: a file, or - for standard
    input.

    Raises:
        ConfigError: it cannot be read, or is neither YAML nor JSON; a change is none.
    """
    raw = _bytes(source)
    try:
        document = parse(raw)
    except ConfigError as err:
        raise ConfigError(f"{_shown(source)}: {err}") from err
    value = document.value
    if not isinstance(value, dict):
        raise ConfigError(f"{_shown(source)}: expected members such as name and memory_mib; "
                          "see --example")  # fmt: skip
    for change in changes:
        value = _changed(value, change)
    if user_data is not None:
        told = _bytes(str(user_data)).decode("utf-8", "replace")
        value = {**value, "cloud_init": {**(value.get("cloud_init") or {}), "user_data": told}}
    return value, document


def check(spec: Any, name: str | None, source: str, document: Document) -> vm_spec.VmSpec:
    """As the collector will.

    Raises:
        ConfigError: it is no spec, and where.
    """
    try:
        found = vm_spec.parse(spec if name is None else {**spec, "name": name})
        vm_spec.labels(found.owner, found.tags)
    except BadMessage as err:
        line = document.line(_path(str(err)))
        where = f"{_shown(source)}:{line}" if line else _shown(source)
        raise ConfigError(f"{where}: {err}") from err
    return found


def _bytes(source: str) -> bytes:
    try:
        if source == STDIN:
            return sys.stdin.buffer.read(MAX_BYTES + 1)
        with open(source, "rb") as file:
            return file.read(MAX_BYTES + 1)
    except OSError as err:
        raise ConfigError(f"{source}: {err.strerror}") from err


def _shown(source: str) -> str:
    return "standard input" if source == STDIN else source


def _changed(spec: Any, change: str) -> Any:
    """One `--set PATH=VALUE`, such as disks[0].size_gib=20, in a copy."""
    path, equals, told = change.partition("=")
    steps = _steps(path)
    if not equals or not steps:
        raise ConfigError(f"--set {change[:80]}: expected PATH=VALUE, such as memory_mib=2048 or "
                          "disks[0].size_gib=20")  # fmt: skip
    try:
        return _put(spec, steps, scalar(told))
    except ConfigError as err:
        raise ConfigError(f"--set {path[:80]}: {err}") from err


def _steps(path: str) -> At:
    found: list[str | int] = []
    for part in path.split("."):
        step = _STEP.fullmatch(part)
        if step is None:
            return ()
        found += [step[1], *map(int, _PLACE.findall(step[2]))]
    return tuple(found)


def _put(inside: Any, steps: At, value: Any) -> Any:
    """What is on the way and missing is made; of a list, what comes after its last."""
    if not steps:
        return value
    step, *rest = steps
    if isinstance(step, int):
        whole = [] if inside is None else inside
        if not isinstance(whole, list) or step > len(whole):
            raise ConfigError(f"[{step}]: there is no such place in a list")
        old = whole[step] if step < len(whole) else None
        return [*whole[:step], _put(old, tuple(rest), value), *whole[step + 1 :]]
    named = {} if inside is None else inside
    if not isinstance(named, dict):
        raise ConfigError(f"{step}: what it would be in has no names")
    return {**named, step: _put(named.get(step), tuple(rest), value)}


def _path(message: str) -> At:
    """Of what a message of the contract begins with."""
    told, _, rest = message.partition(": ")
    unknown = _UNKNOWN.search(message)
    if unknown is not None:
        within = () if told.startswith("unknown") else _steps(told)
        return (*within, unknown[1])
    return _steps(told) if rest else ()
