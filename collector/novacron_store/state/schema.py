"""The tables of the state database. A change here needs a migration in `migrations/versions`.

One writer per table: the collector's inventory keeper writes all of these.
"""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import (
    JSON,
    Column,
    DateTime,
    Dialect,
    Float,
    ForeignKey,
    Index,
    MetaData,
    String,
    Table,
    TypeDecorator,
)


class UtcTime(TypeDecorator[datetime]):
    """A moment in UTC, always with its time zone (SQLite itself keeps none)."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value!r} has no time zone")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Text(TypeDecorator[str]):
    """Text that anybody may have sent: what PostgreSQL refuses becomes U+FFFD on both engines."""

    impl = String
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        if value is None:
            return None
        return value.replace("\0", "\ufffd").encode("utf-8", "replace").decode("utf-8")


metadata = MetaData()

hosts = Table(
    "hosts",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("arch", Text, nullable=False),
    Column("os", Text, nullable=False),
    Column("first_seen", UtcTime, nullable=False),
    Column("last_seen", UtcTime, nullable=False),
    Column("resource", JSON, nullable=False),
    Index("hosts_by_name", "name"),
)

vms = Table(
    "vms",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("host_id", Text, nullable=False),  # as reported: the host itself may be unknown
    Column("provider", Text, nullable=False),
    Column("first_seen", UtcTime, nullable=False),
    Column("last_seen", UtcTime, nullable=False),
    Column("resource", JSON, nullable=False),
    Index("vms_by_name", "name"),
    Index("vms_by_host", "host_id"),
)

# What a VM was called and where it ran: one row per name and host, the current one without an end.
vm_history = Table(
    "vm_history",
    metadata,
    Column("vm_id", Text, ForeignKey("vms.id", ondelete="CASCADE"), primary_key=True),
    Column("since", UtcTime, primary_key=True),
    Column("until", UtcTime, nullable=True),
    Column("name", Text, nullable=False),
    Column("host_id", Text, nullable=False),
)

agents = Table(
    "agents",
    metadata,
    Column("id", Text, primary_key=True),
    Column("host_id", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("interval_s", Float, nullable=False),
    Column("clock_offset_s", Float, nullable=True),  # its clock minus ours; null: not known
    Column("last_seen", UtcTime, nullable=False),
    Index("agents_by_host", "host_id"),
)
