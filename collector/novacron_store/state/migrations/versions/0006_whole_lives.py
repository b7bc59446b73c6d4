"""VMs that were deleted, and what an operation may show nobody but the agents it is for."""

from alembic import op
from sqlalchemy import JSON, Column, DateTime, String

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.add_column("vms", Column("deleted", DateTime(timezone=True), nullable=True))
    op.create_table(
        "operation_secrets",
        Column("operation_id", String, primary_key=True),
        Column("secrets", JSON, nullable=False),
    )
