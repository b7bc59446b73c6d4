"""Agents' identities, the tokens they join by, and those of other senders. No secret is in them:
of each there is a hash."""

from __future__ import annotations

from sqlalchemy import JSON, Column, ForeignKey, Index, Integer, Table, text

from novacron_store.state.tables.columns import Text, UtcTime, metadata

# One row, whose number grows with every change: whoever keeps a copy asks for what is newer.
enrolment_changes = Table(
    "enrolment_changes",
    metadata,
    Column("id", Text, primary_key=True),
    Column("number", Integer, nullable=False),
)

# `host_id` is null until the agent's first telemetry where it did not know it when it joined.
agent_identities = Table(
    "agent_identities",
    metadata,
    Column("agent_id", Text, primary_key=True),
    Column("host_id", Text, nullable=True),
    Column("name", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("standing", Text, nullable=False),  # active, quarantined, revoked
    Column("reason", Text, nullable=False),  # why it is not active
    Column("joined", UtcTime, nullable=False),
    Column("joined_by", Text, nullable=False),  # the join token's id
    Column("joined_from", Text, nullable=False),  # an address
    Column("ended", UtcTime, nullable=True),
    Column("instance", Text, nullable=False),  # of the agent's journal; empty: it told none yet
    Column("instances_before", JSON, nullable=False),
    Column("change", Integer, nullable=False),
    Index(
        "identities_by_host",
        "host_id",
        unique=True,
        sqlite_where=text("standing <> 'revoked'"),
        postgresql_where=text("standing <> 'revoked'"),
    ),
    Index("identities_by_change", "change"),
)

# `ends` is moved forward when the next one is used, or the identity is revoked.
agent_certificates = Table(
    "agent_certificates",
    metadata,
    Column("serial", Text, primary_key=True),
    Column("agent_id", Text, ForeignKey("agent_identities.agent_id"), nullable=False),
    Column("issued", UtcTime, nullable=False),
    Column("used", UtcTime, nullable=True),  # first
    Column("ends", UtcTime, nullable=False),
    Column("change", Integer, nullable=False),
    Index("certificates_by_agent", "agent_id"),
    Index("certificates_by_change", "change"),
)

join_tokens = Table(
    "join_tokens",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("hash", Text, nullable=False, unique=True),
    Column("created", UtcTime, nullable=False),
    Column("created_by", Text, nullable=False),
    Column("expires", UtcTime, nullable=False),
    Column("uses", Integer, nullable=False),
    Column("max_uses", Integer, nullable=False),
)

ingest_tokens = Table(
    "ingest_tokens",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("hash", Text, nullable=False, unique=True),
    Column("created", UtcTime, nullable=False),
    Column("created_by", Text, nullable=False),
    Column("expires", UtcTime, nullable=True),
    Column("revoked", UtcTime, nullable=True),
    Column("last_used", UtcTime, nullable=True),
    Column("change", Integer, nullable=False),
    Index("ingest_tokens_by_change", "change"),
)
