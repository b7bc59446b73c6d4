"""Hosts, VMs and agents as they were reported: the collector's inventory keeper writes it.

`reported_by` is the identity that an agent proved when it told of a row; null: who told had none.
"""

from __future__ import annotations

from sqlalchemy import JSON, Column, Float, ForeignKey, Index, Table

from novacron_store.state.tables.columns import Text, UtcTime, metadata

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
    Column("reported_by", Text, nullable=True),
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
    Column("deleted", UtcTime, nullable=True),
    Column("reported_by", Text, nullable=True),
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
    Column("reported_by", Text, nullable=True),
    Index("agents_by_host", "host_id"),
)
