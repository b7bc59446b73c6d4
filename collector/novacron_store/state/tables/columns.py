"""What all tables of the state database are made of: texts, numbers, times and JSON alone, since
`copy` knows no others. A change of a table needs a migration in `migrations/versions`."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import DateTime, Dialect, MetaData, String, TypeDecorator


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
        return None if value is None else storable(value)


def storable(text: str) -> str:
    """The text as either engine keeps it."""
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode("utf-8")


metadata = MetaData()
