"""Agents' identities, join tokens, senders' tokens."""

from alembic import op
from sqlalchemy import JSON, Column, DateTime, ForeignKey, Integer, String, text

revision = "0003"
down_revision = "0002"

TIME = DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "enrolment_changes",
        Column("id", String, primary_key=True),
        Column("number", Integer, nullable=False),
    )
    op.create_table(
        "agent_identities",
        Column("agent_id", String, primary_key=True),
        Column("host_id", String, nullable=True),
        Column("name", String, nullable=False),
        Column("version", String, nullable=False),
        Column("standing", String, nullable=False),
        Column("reason", String, nullable=False),
        Column("joined", TIME, nullable=False),
        Column("joined_by", String, nullable=False),
        Column("joined_from", String, nullable=False),
        Column("ended", TIME, nullable=True),
        Column("instance", String, nullable=False),
        Column("instances_before", JSON, nullable=False),
        Column("change", Integer, nullable=False),
    )
    current = text("standing <> 'revoked'")
    op.create_index(
        "identities_by_host",
        "agent_identities",
        ["host_id"],
        unique=True,
        sqlite_where=current,
        postgresql_where=current,
    )
    op.create_index("identities_by_change", "agent_identities", ["change"])
    op.create_table(
        "agent_certificates",
        Column("serial", String, primary_key=True),
        Column("agent_id", String, ForeignKey("agent_identities.agent_id"), nullable=False),
        Column("issued", TIME, nullable=False),
        Column("used", TIME, nullable=True),
        Column("ends", TIME, nullable=False),
        Column("change", Integer, nullable=False),
    )
    op.create_index("certificates_by_agent", "agent_certificates", ["agent_id"])
    op.create_index("certificates_by_change", "agent_certificates", ["change"])
    op.create_table(
        "join_tokens",
        Column("id", String, primary_key=True),
        Column("name", String, nullable=False),
        Column("hash", String, nullable=False, unique=True),
        Column("created", TIME, nullable=False),
        Column("created_by", String, nullable=False),
        Column("expires", TIME, nullable=False),
        Column("uses", Integer, nullable=False),
        Column("max_uses", Integer, nullable=False),
    )
    op.create_table(
        "ingest_tokens",
        Column("id", String, primary_key=True),
        Column("name", String, nullable=False),
        Column("hash", String, nullable=False, unique=True),
        Column("created", TIME, nullable=False),
        Column("created_by", String, nullable=False),
        Column("expires", TIME, nullable=True),
        Column("revoked", TIME, nullable=True),
        Column("last_used", TIME, nullable=True),
        Column("change", Integer, nullable=False),
    )
    op.create_index("ingest_tokens_by_change", "ingest_tokens", ["change"])
