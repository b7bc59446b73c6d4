"""Where statements make tables and views: in the current database, or as their text says."""

from __future__ import annotations

import re
from dataclasses import dataclass

from clickhouse_connect.driver.binding import format_str, quote_identifier

from novacron_contract.errors import ConfigError

_CLUSTER = re.compile(r"[\w.-]{1,64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Place:
    """No database: the current one. No cluster: one server.

    Raises:
        ConfigError: no cluster is named so.
    """

    database: str = ""
    cluster: str = ""

    def __post_init__(self) -> None:
        if self.cluster and not _CLUSTER.fullmatch(self.cluster):
            raise ConfigError(
                f"{self.cluster!r}: a cluster's name is letters, digits, _, - and ., 64 at most"
            )

    @property
    def database_sql(self) -> str:
        """An expression."""
        return format_str(self.database) if self.database else "currentDatabase()"

    @property
    def on_cluster(self) -> str:
        return f" ON CLUSTER '{self.cluster}'" if self.cluster else ""

    def named(self, name: str) -> str:
        return f"{quote_identifier(self.database)}.{name}" if self.database else name


HERE = Place()
