"""Which agent's word a host, a VM or an agent is."""

from alembic import op
from sqlalchemy import Column, String

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    for table in ("hosts", "vms", "agents"):
        op.add_column(table, Column("reported_by", String, nullable=True))
