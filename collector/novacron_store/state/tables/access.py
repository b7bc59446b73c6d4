"""Users, their sessions and tokens, and the audit. No secret is here: passwords are argon2 hashes,
tokens their SHA-256."""

from __future__ import annotations

from sqlalchemy import JSON, BigInteger, Column, ForeignKey, Index, Table

from novacron_store.state.tables.columns import Text, UtcTime, metadata

users = Table(
    "users",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("password", Text, nullable=True),  # argon2's own form; null: none leads in
    Column("created", UtcTime, nullable=False),
    Column("disabled", UtcTime, nullable=True),  # since then; null: is not
)

grants = Table(
    "grants",
    metadata,
    Column("user_id", Text, ForeignKey("users.id", ondelete="CASCADE"), primary_key=True),
    Column("role", Text, primary_key=True),
    Column("scope", Text, primary_key=True),
)

sessions = Table(
    "sessions",
    metadata,
    Column("digest", Text, primary_key=True),
    Column("user_id", Text, ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
    Column("created", UtcTime, nullable=False),
    Column("last_used", UtcTime, nullable=False),
    Column("source", Text, nullable=False),
    Index("sessions_by_user", "user_id"),
)

api_tokens = Table(
    "api_tokens",
    metadata,
    Column("id", Text, primary_key=True),
    Column("digest", Text, nullable=False, unique=True),
    Column("user_id", Text, ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
    Column("name", Text, nullable=False),
    Column("shown", Text, nullable=False),  # its first characters, to know it again by
    Column(
        "grants", JSON(none_as_null=True), nullable=True
    ),  # at most these; null: all of its user's
    Column("created", UtcTime, nullable=False),
    Column("expires", UtcTime, nullable=True),
    Column("last_used", UtcTime, nullable=True),
    Index("api_tokens_by_user", "user_id"),
)

# Rows are added and never changed: each holds the hash of the one before.
audit = Table(
    "audit",
    metadata,
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("at", UtcTime, nullable=False),
    Column("actor_kind", Text, nullable=False),
    Column("actor_id", Text, nullable=False),
    Column("actor_name", Text, nullable=False),
    Column("token_id", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("target", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("detail", Text, nullable=False),  # JSON as it was hashed, to the character
    Column("previous", Text, nullable=False),
    Column("hash", Text, nullable=False),
    Index("audit_by_time", "at"),
    Index("audit_by_actor", "actor_name", "seq"),
    Index("audit_by_target", "target", "seq"),
)
