"""An argument that is an object, on the command line: its members are options of their own."""

from __future__ import annotations

from argparse import ArgumentTypeError, Namespace
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from novacron_contract.commands import Argument

_KINDS: Mapping[str, Callable[[str], Any]] = {"string": str, "number": float, "integer": int}
_METAVARS = {"string": "TEXT", "number": "N", "integer": "N"}


def add_members(parser: Any, dest: str, argument: Argument) -> None:
    """As its schema has them; which go together is the collector's to say."""
    assert argument.schema is not None
    for name, of in argument.schema()["properties"].items():
        choices, explained = of.get("enum"), of["description"]
        if "default" in of:
            explained = f"{explained} (default: {of['default']})"
        kind: Callable[[str], Any] = _KINDS.get(of["type"], str)
        metavar = None if choices else _METAVARS.get(of["type"])
        if of["type"] == "object":
            kind, metavar = partial(_parts, of), "/".join(_words(of))
        parser.add_argument(f"--{name.replace('_', '-')}", dest=f"{dest}.{name}", type=kind,
                            choices=choices, metavar=metavar, help=explained)  # fmt: skip


def given(args: Namespace, dest: str) -> dict[str, Any]:
    first = f"{dest}."
    return {
        name.removeprefix(first): value
        for name, value in vars(args).items()
        if name.startswith(first) and value is not None
    }


def _parts(schema: Mapping[str, Any], text: str) -> dict[str, Any]:
    """Its members in their order, as POOL/VOLUME; of fewer those that are required, and the first
    of the others."""
    properties, parts = schema["properties"], text.split("/")
    optional = [name for name in properties if name not in schema["required"]]
    more = len(parts) - len(schema["required"])
    if not 0 <= more <= len(optional) or not all(parts):
        raise ArgumentTypeError(f"expected {'/'.join(_words(schema))}, got {text!r}")
    chosen = {*schema["required"], *optional[:more]}
    names = [name for name in properties if name in chosen]
    try:
        return {
            name: _KINDS[properties[name]["type"]](part)
            for name, part in zip(names, parts, strict=True)
        }
    except ValueError as err:
        raise ArgumentTypeError(f"expected {'/'.join(_words(schema))}: {err}") from err


def _words(schema: Mapping[str, Any]) -> list[str]:
    return [name.partition("_")[0].upper() for name in schema["properties"]]
