"""Users, their sessions and tokens, and the audit."""

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Nothing yet."""
