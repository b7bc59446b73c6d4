"""Plug-ins: entry points that are loaded when they are asked for, never at import."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from novacron_contract.errors import ConfigError
from novacron_contract.settings import parse


@dataclass(frozen=True)
class Registry:
    """The plug-ins of one entry-point group, such as "novacron.providers".

    A plug-in is a frozen dataclass: its fields are its options.
    """

    group: str

    def names(self) -> list[str]:
        return sorted(point.name for point in entry_points(group=self.group))

    def create(self, name: str, options: Mapping[str, Any], *, where: str) -> Any:
        """Load the plug-in called `name` and give it its options.

        Raises:
            ConfigError: no such plug-in, its libraries are missing, or an option is not allowed.
        """
        point = self._find(name, where)
        try:
            plugin = point.load()
        except ImportError as err:
            raise ConfigError(
                f"{where}: {name}: {err}; install it with: pip install 'novacron[{name}]'"
            ) from err
        return parse(options, plugin, where=where)

    def _find(self, name: str, where: str) -> EntryPoint:
        for point in entry_points(group=self.group):
            if point.name == name:
                return point
        allowed = ", ".join(self.names()) or "none is installed"
        raise ConfigError(f"{where}: name: expected one of {allowed}, got {name!r}")
