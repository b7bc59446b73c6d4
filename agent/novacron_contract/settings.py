"""TOML files as typed settings; a mistake is one line naming file, key and what is allowed.

@dataclass(frozen=True, kw_only=True)
class AgentSettings:
    interval: float = setting("10s", unit="s", minimum=1, maximum=3600)

@dataclass(frozen=True, kw_only=True)
class Settings:
    agent: AgentSettings = field(default_factory=AgentSettings)   # the table [agent]

settings = load(Path("agent.toml"), Settings)
"""

from __future__ import annotations

import dataclasses
import math
import re
import tomllib
import types
import typing
import urllib.parse
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar

from novacron_contract.errors import ConfigError
from novacron_contract.units import SECONDS

T = TypeVar("T")

_SCALE = {
    "s": SECONDS,
    "By": {"B": 1.0, "KiB": 1024.0, "MiB": 1024.0**2, "GiB": 1024.0**3, "TiB": 1024.0**4},
}
_EXAMPLE = {"s": '"10s", "5m", "7d" or seconds', "By": '"64MiB", "2GiB" or bytes'}


def setting(
    default: Any = dataclasses.MISSING,
    *,
    unit: str | None = None,
    minimum: float | None = None,
    maximum: float | None = None,
    choices: Sequence[str] | None = None,
    check: Callable[[Any], object] | None = None,
    doc: str = "",
) -> Any:
    """A dataclass field with its limits. `unit` "s" takes "10s", "By" takes "64MiB".

    `check` raises ConfigError for a value that is not allowed; `host_port` and `http_url` are such.
    """
    if unit is not None and isinstance(default, str):
        default = _quantity(default, unit)
    limits = {"unit": unit, "min": minimum, "max": maximum, "choices": choices}
    meta = {**limits, "check": check, "doc": doc}
    return dataclasses.field(default=default, metadata=meta)


def load(path: Path, schema: type[T]) -> T:
    """Read a TOML file into `schema`.

    Raises:
        ConfigError: the file cannot be read, or a key or value is not allowed.
    """
    return parse(read_document(path), schema, where=str(path))


def read_document(path: Path) -> dict[str, Any]:
    """
    Raises:
        ConfigError: the file cannot be read, or is not TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as err:
        raise ConfigError(f"{path}: cannot be read: {getattr(err, 'strerror', err)}") from err
    except (ValueError, RecursionError) as err:  # a number of thousands of digits is no TOML, too
        raise ConfigError(f"{path}: not valid TOML: {err}") from err


def parse(document: Mapping[str, Any], schema: type[T], *, where: str) -> T:
    """Turn a mapping into `schema`, a dataclass whose dataclass fields are tables, and whose tuples
    of dataclasses are lists of tables. Its `__post_init__` may raise ConfigError, too."""
    hints = typing.get_type_hints(schema)
    fields = {f.name: f for f in dataclasses.fields(typing.cast(Any, schema)) if f.init}
    for key in document:
        if key not in fields:
            allowed = ", ".join(sorted(fields))
            raise ConfigError(f"{where}: {_shown(key)}: unknown; allowed: {allowed}")
    values: dict[str, Any] = {}
    for name, field in fields.items():
        if name in document:
            values[name] = _value(document[name], hints[name], field.metadata, f"{where}: {name}")
        elif _required(field):
            raise ConfigError(f"{where}: {name}: missing")
    try:
        return schema(**values)
    except ConfigError as err:
        raise ConfigError(f"{where}: {err}") from err


def read_secret(path: Path) -> str:
    """The content of a secret's file, without its trailing newline.

    Raises:
        ConfigError: the file cannot be read or is empty.
    """
    try:
        secret = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as err:
        reason = getattr(err, "strerror", None) or "not UTF-8"
        raise ConfigError(f"{path}: the secret cannot be read: {reason}") from err
    if not secret:
        raise ConfigError(f"{path}: the secret is empty")
    return secret


def host_port(address: str) -> tuple[str, int]:
    """Split "127.0.0.1:4318" or "[::1]:4318".

    Raises:
        ConfigError: it is neither.
    """
    match = re.fullmatch(r"(?:\[([0-9a-fA-F:.]+)\]|([^:\[\]\s]+)):(\d{1,5})", address)
    if not match or int(match[3]) > 65535:
        raise ConfigError(f"{address!r}: expected HOST:PORT, such as 127.0.0.1:4318 or [::1]:4318")
    return match[1] or match[2], int(match[3])


def http_url(url: str) -> str:
    """Check that it is a URL with a host, such as http://127.0.0.1:4318.

    Raises:
        ConfigError: it is not.
    """
    try:
        parts = urllib.parse.urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or re.search(r"\s", url):
        raise ConfigError(f"expected a URL such as http://127.0.0.1:4318, got {url!r}")
    return url


def _required(field: dataclasses.Field[Any]) -> bool:
    missing = dataclasses.MISSING
    return field.default is missing and field.default_factory is missing


def _value(raw: Any, hint: Any, meta: Mapping[str, Any], where: str) -> Any:
    kind = _without_none(hint)
    if meta.get("unit") is not None:
        raw = _quantity(raw, meta["unit"], where)
    value = _typed(raw, kind, where)
    _check_limits(value, meta, where)
    return value


def _without_none(hint: Any) -> Any:
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return next(a for a in typing.get_args(hint) if a is not types.NoneType)
    return hint


def _typed(raw: Any, kind: Any, where: str) -> Any:
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any:
        return raw
    if origin is tuple:
        return _tuple(raw, args[0], where)
    if dataclasses.is_dataclass(kind):
        return parse(_table(raw, where), typing.cast(Any, kind), where=where)
    if origin in (dict, Mapping) or kind is dict:
        of = args[1] if args else Any
        items = _table(raw, where).items()
        return {key: _typed(value, of, f"{where}: {_shown(key)}") for key, value in items}
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return _choice(raw, kind, where)
    return _scalar(raw, kind, where)


def _tuple(raw: Any, of: Any, where: str) -> tuple[Any, ...]:
    """Tables are named by their place in the list, counted from 1."""
    if not isinstance(raw, list):
        raise ConfigError(f"{where}: expected a list, got {raw!r}")
    tables = dataclasses.is_dataclass(of)
    return tuple(
        _typed(item, of, f"{where}: {number}" if tables else where)
        for number, item in enumerate(raw, 1)
    )


def _shown(key: str) -> str:
    return key if re.fullmatch(r"[\w.-]+", key) else repr(key)


def _table(raw: Any, where: str) -> dict[str, Any]:
    if not isinstance(raw, dict):
        raise ConfigError(f"{where}: expected a table, got {raw!r}")
    return raw


def _scalar(raw: Any, kind: Any, where: str) -> Any:
    if kind is Path and isinstance(raw, str):
        return Path(raw)
    if kind is float and isinstance(raw, int | float) and not isinstance(raw, bool):
        return float(raw)
    if kind is int and isinstance(raw, float) and raw.is_integer():
        return int(raw)
    if isinstance(kind, type) and type(raw) is kind:
        return raw
    names = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}
    raise ConfigError(f"{where}: expected {names.get(kind, 'text')}, got {raw!r}")


def _choice(raw: Any, kind: type[StrEnum], where: str) -> StrEnum:
    try:
        return kind(raw)
    except ValueError as err:
        allowed = ", ".join(kind)
        raise ConfigError(f"{where}: expected one of {allowed}, got {raw!r}") from err


def _quantity(raw: Any, unit: str, where: str = "setting") -> Any:
    if not isinstance(raw, str):
        return raw
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*", raw)
    scale = _SCALE[unit].get(match[2] or next(iter(_SCALE[unit]))) if match else None
    if match is None or scale is None or not match[2]:
        raise ConfigError(f"{where}: expected {_EXAMPLE[unit]}, got {raw!r}")
    return float(match[1]) * scale


def _check_limits(value: Any, meta: Mapping[str, Any], where: str) -> None:
    low, high, choices = meta.get("min"), meta.get("max"), meta.get("choices")
    if isinstance(value, float) and not math.isfinite(value):
        raise ConfigError(f"{where}: expected a finite number, got {value}")
    if low is not None and value < low:
        raise ConfigError(f"{where}: must be at least {low:g}, got {value:g}")
    if high is not None and value > high:
        raise ConfigError(f"{where}: must be at most {high:g}, got {value:g}")
    if choices is not None and value not in choices:
        raise ConfigError(f"{where}: expected one of {', '.join(choices)}, got {value!r}")
    if (check := meta.get("check")) is not None:
        try:
            check(value)
        except ConfigError as err:
            raise ConfigError(f"{where}: {err}") from err
