"""Settings from environment variables: NOVACRON_AGENT__AGENT__INTERVAL=5s is `interval` of [agent].

Only single values can be set so, and a mistake in one is one line that names the variable.
"""

from __future__ import annotations

import dataclasses
import re
import tomllib
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from novacron_contract.errors import ConfigError
from novacron_contract.settings import parse

# A boolean or a number, as TOML writes it; all else is text.
_LITERAL = re.compile(r"true|false|[+-]?\d+(?:\.\d+)?")


def overridden(
    document: Mapping[str, Any], environment: Mapping[str, str], prefix: str, schema: Any
) -> dict[str, Any]:
    """`document` with what variables PREFIX__TABLE__KEY say. Tables are those of `schema` that are
    dataclasses or mappings; a mapping's keys are not checked here.

    Raises:
        ConfigError: a variable with this prefix names no such key, or has no value for it.
    """
    tables = _tables(schema)
    merged: dict[str, Any] = dict(document)
    for variable in sorted(environment):
        if not variable.startswith(f"{prefix}__"):
            continue
        table, _, key = variable.removeprefix(f"{prefix}__").lower().partition("__")
        if table not in tables or not key:
            names = ", ".join(f"{prefix}__{name.upper()}__KEY" for name in sorted(tables))
            raise ConfigError(f"{variable}: unknown; allowed: {names}")
        if not _is_utf8(environment[variable]):
            raise ConfigError(f"{variable}: not UTF-8")
        value = _value(environment[variable], key, tables[table], variable)
        before = merged.get(table, {})
        if isinstance(before, Mapping):  # what else it is, is a mistake of the file
            merged[table] = {**before, key: value}
    return merged


def variables_of(table: str, environment: Mapping[str, str], prefix: str) -> list[str]:
    """Those that are set for a table."""
    begin = f"{prefix}__{table.upper()}__"
    return sorted(name for name in environment if name.upper().startswith(begin))


def _tables(schema: Any) -> dict[str, Any]:
    """Kind of each table by its name; lists of tables are not among them."""
    found = {}
    for name, hint in typing.get_type_hints(schema).items():
        kind = _without_none(hint)
        if dataclasses.is_dataclass(kind) or typing.get_origin(kind) is Mapping:
            found[name] = kind
    return found


def _value(text: str, key: str, table: Any, variable: str) -> Any:
    if not dataclasses.is_dataclass(table):
        return _literal(text)
    fields = {field.name: field for field in dataclasses.fields(table) if field.init}
    hint = _without_none(typing.get_type_hints(table).get(key))
    is_text = hint in (str, Path) and fields[key].metadata.get("unit") is None
    value = text if is_text else _literal(text)
    parse({key: value}, typing.cast(Any, table), where=variable)
    return value


def _literal(text: str) -> Any:
    known = _LITERAL.fullmatch(text)
    try:
        return tomllib.loads(f"x = {text}")["x"] if known else text
    except ValueError:  # such as 007
        return text


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _without_none(hint: Any) -> Any:
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return next(a for a in typing.get_args(hint) if a is not types.NoneType)
    return hint
