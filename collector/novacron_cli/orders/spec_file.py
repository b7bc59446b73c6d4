"""YAML or JSON that a person wrote, read with the lines on which things are.

Of YAML that is what its version 1.2 calls JSON's values: `no` is a text, and so is a MAC address,
which version 1.1 takes for a number. Aliases, tags and a name given twice are refused, and so is
what is larger or deeper than any spec.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml
from yaml.composer import Composer
from yaml.parser import Parser
from yaml.reader import Reader
from yaml.resolver import BaseResolver
from yaml.scanner import Scanner

from novacron_contract.errors import ConfigError

MAX_BYTES = 512 * 1024
_MAX_DEPTH = 32
_MAX_NODES = 20_000
_TAG = "tag:yaml.org,2002:"
_LONGEST_NUMBER = 40  # digits

Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Document:
    """`lines`: on which line what is at a path begins, where that is known."""

    value: Any
    lines: Mapping[Path, int] = field(default_factory=dict)

    def line(self, path: Path) -> int | None:
        """Of what is there, or of what it would be in."""
        while path not in self.lines and path:
            path = path[:-1]
        return self.lines.get(path)


def parse(raw: bytes) -> Document:
    """
    Raises:
        ConfigError: it is neither, with the line where that shows.
    """
    if len(raw) > MAX_BYTES:
        raise ConfigError(f"larger than {MAX_BYTES // 1024} KiB, which no spec is")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as err:
        line = raw[: err.start].count(b"\n") + 1
        raise ConfigError(f"line {line}: is not UTF-8") from err
    if text.lstrip().startswith("{"):
        try:
            return Document(json.loads(text, object_pairs_hook=_once, parse_constant=_no_number))
        except (ValueError, RecursionError):
            pass  # YAML has braces, too, and tells the line
    return _yaml(text)


def scalar(text: str) -> Any:
    """What a value on the command line is: as in a file.

    Raises:
        ConfigError: it is no YAML.
    """
    return _yaml(text).value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name twice")
    return found


def _no_number(name: str) -> Any:
    raise ValueError(name)


class _Resolver(BaseResolver):  # type: ignore[misc]  # PyYAML has no types
    """The core schema of YAML 1.2, without octal and hexadecimal numbers."""


for _kind, _pattern, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("int", r"[-+]?[0-9]+", "-+0123456789"),
    ("float", r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?", "-+.0123456789"),
):
    _Resolver.add_implicit_resolver(_TAG + _kind, re.compile(rf"^(?:{_pattern})$"), list(_first))


class _Composer(Reader, Scanner, Parser, Composer, _Resolver):  # type: ignore[misc]
    def __init__(self, text: str) -> None:
        Reader.__init__(self, text)
        Scanner.__init__(self)
        Parser.__init__(self)
        Composer.__init__(self)
        _Resolver.__init__(self)
        self._depth = self._count = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        event = self.peek_event()
        if isinstance(event, yaml.AliasEvent):
            raise _at(event.start_mark, "aliases (*name) are not taken: write it out")
        self._count += 1
        self._depth += 1
        if self._depth > _MAX_DEPTH or self._count > _MAX_NODES:
            raise _at(event.start_mark, "deeper, or of more parts, than any spec")
        try:
            return Composer.compose_node(self, parent, index)
        finally:
            self._depth -= 1


def _yaml(text: str) -> Document:
    lines: dict[Path, int] = {}
    try:
        node = _Composer(text).get_single_node()
    except yaml.MarkedYAMLError as err:
        mark = err.problem_mark or err.context_mark
        where = "" if mark is None else f"line {mark.line + 1}: "
        raise ConfigError(f"{where}no YAML: {err.problem or err.context}") from err
    except yaml.YAMLError as err:
        raise ConfigError(f"no YAML: {' '.join(str(err).split())}") from err
    return Document(None if node is None else _value(node, (), lines), lines)


def _value(node: Any, path: Path, lines: dict[Path, int]) -> Any:
    lines[path] = node.start_mark.line + 1
    if isinstance(node, yaml.MappingNode):
        _require_tag(node, "map")
        return _mapping(node, path, lines)
    if isinstance(node, yaml.SequenceNode):
        _require_tag(node, "seq")
        return [_value(one, (*path, place), lines) for place, one in enumerate(node.value)]
    return _scalar(node)


def _mapping(node: Any, path: Path, lines: dict[Path, int]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise _at(key.start_mark, "expected a name, and then a colon")
        if key.value in found:
            raise _at(key.start_mark, f"{key.value[:60]!r}: is there twice")
        found[key.value] = _value(value, (*path, key.value), lines)
        lines[(*path, key.value)] = key.start_mark.line + 1
    return found


def _scalar(node: Any) -> Any:
    text: str = node.value
    match node.tag.removeprefix(_TAG):
        case "str":
            return text
        case "null":
            return None
        case "bool":
            return text.lower() == "true"
        case "int" | "float" as kind if len(text) <= _LONGEST_NUMBER:
            return int(text) if kind == "int" else float(text)
        case "int" | "float":
            raise _at(node.start_mark, "a number of more digits than any")
    raise _at(node.start_mark, f"the tag {node.tag[:60]} is not taken")


def _require_tag(node: Any, kind: str) -> None:
    if node.tag != _TAG + kind:
        raise _at(node.start_mark, f"the tag {node.tag[:60]} is not taken")


def _at(mark: Any, problem: str) -> ConfigError:
    return ConfigError(f"line {mark.line + 1}: {problem}")
