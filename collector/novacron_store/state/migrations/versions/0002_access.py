"""Users, their sessions and tokens, and the audit."""

from alembic import op
from sqlalchemy import JSON, BigInteger, Column, DateTime, ForeignKey, String

revision = "0002"
down_revision = "0001"

TIME = DateTime(timezone=True)


def upgrade() -> None:
    _users()
    _audit()


def _users() -> None:
    op.create_table(
        "users",
        Column("id", String, primary_key=True),
        Column("name", String, nullable=False, unique=True),
        Column("password", String, nullable=True),
        Column("created", TIME, nullable=False),
        Column("disabled", TIME, nullable=True),
    )
    op.create_table(
        "grants",
        Column("user_id", String, ForeignKey("users.id", ondelete="CASCADE"), primary_key=True),
        Column("role", String, primary_key=True),
        Column("scope", String, primary_key=True),
    )
    op.create_table(
        "sessions",
        Column("digest", String, primary_key=True),
        Column("user_id", String, ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
        Column("created", TIME, nullable=False),
        Column("last_used", TIME, nullable=False),
        Column("source", String, nullable=False),
    )
    op.create_index("sessions_by_user", "sessions", ["user_id"])
    op.create_table(
        "api_tokens",
        Column("id", String, primary_key=True),
        Column("digest", String, nullable=False, unique=True),
        Column("user_id", String, ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
        Column("name", String, nullable=False),
        Column("shown", String, nullable=False),
        Column("grants", JSON, nullable=True),
        Column("created", TIME, nullable=False),
        Column("expires", TIME, nullable=True),
        Column("last_used", TIME, nullable=True),
    )
    op.create_index("api_tokens_by_user", "api_tokens", ["user_id"])


def _audit() -> None:
    texts = ("actor_kind", "actor_id", "actor_name", "token_id", "action", "target", "source")
    more = ("reason", "outcome", "detail", "previous", "hash")
    op.create_table(
        "audit",
        Column("seq", BigInteger, primary_key=True, autoincrement=False),
        Column("at", TIME, nullable=False),
        *(Column(name, String, nullable=False) for name in (*texts, *more)),
    )
    op.create_index("audit_by_time", "audit", ["at"])
    op.create_index("audit_by_actor", "audit", ["actor_name", "seq"])
    op.create_index("audit_by_target", "audit", ["target", "seq"])
    if op.get_bind().dialect.name == "sqlite":
        for event in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER audit_no_{event.lower()} BEFORE {event} ON audit "
                "BEGIN SELECT RAISE(ABORT, 'the audit is only added to'); END"
            )
        return
    op.execute(
        "CREATE FUNCTION audit_is_added_to() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'the audit is only added to'; END $$"
    )
    op.execute(
        "CREATE TRIGGER audit_no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON audit "
        "FOR EACH STATEMENT EXECUTE FUNCTION audit_is_added_to()"
    )
