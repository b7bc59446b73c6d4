"""Hosts, VMs with their history, agents."""

from alembic import op
from sqlalchemy import JSON, Column, DateTime, Float, ForeignKey, String

revision = "0001"
down_revision = None

TIME = DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "hosts",
        Column("id", String, primary_key=True),
        Column("name", String, nullable=False),
        Column("arch", String, nullable=False),
        Column("os", String, nullable=False),
        Column("first_seen", TIME, nullable=False),
        Column("last_seen", TIME, nullable=False),
        Column("resource", JSON, nullable=False),
    )
    op.create_index("hosts_by_name", "hosts", ["name"])
    op.create_table(
        "vms",
        Column("id", String, primary_key=True),
        Column("name", String, nullable=False),
        Column("host_id", String, nullable=False),
        Column("provider", String, nullable=False),
        Column("first_seen", TIME, nullable=False),
        Column("last_seen", TIME, nullable=False),
        Column("resource", JSON, nullable=False),
    )
    op.create_index("vms_by_name", "vms", ["name"])
    op.create_index("vms_by_host", "vms", ["host_id"])
    op.create_table(
        "vm_history",
        Column("vm_id", String, ForeignKey("vms.id", ondelete="CASCADE"), primary_key=True),
        Column("since", TIME, primary_key=True),
        Column("until", TIME, nullable=True),
        Column("name", String, nullable=False),
        Column("host_id", String, nullable=False),
    )
    op.create_table(
        "agents",
        Column("id", String, primary_key=True),
        Column("host_id", String, nullable=False),
        Column("version", String, nullable=False),
        Column("interval_s", Float, nullable=False),
        Column("clock_offset_s", Float, nullable=True),
        Column("last_seen", TIME, nullable=False),
    )
    op.create_index("agents_by_host", "agents", ["host_id"])
