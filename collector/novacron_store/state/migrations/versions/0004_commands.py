"""Commands, operations, schedules."""

from alembic import op
from sqlalchemy import JSON, Column, DateTime, Float, Integer, String, text

revision = "0004"
down_revision = "0003"

TIME = DateTime(timezone=True)
OPEN = text("ended IS NULL")


def upgrade() -> None:
    _operations()
    _commands()
    _command_events()
    _agent_abilities()
    _schedules()
    _brakes()


def _operations() -> None:
    op.create_table(
        "operations",
        Column("id", String, primary_key=True),
        Column("issuer_id", String, nullable=False),
        Column("issuer_name", String, nullable=False),
        Column("token_id", String, nullable=False),
        Column("source", String, nullable=False),
        Column("schedule_id", String, nullable=False),
        Column("idempotency_key", String, nullable=True),
        Column("body_hash", String, nullable=False),
        Column("created", TIME, nullable=False),
        Column("finished", TIME, nullable=True),
        Column("state", String, nullable=False),
        Column("version", Integer, nullable=False),
        Column("reason", String, nullable=False),
        Column("steps", JSON, nullable=False),
        Column("targets", JSON, nullable=False),
        Column("expect", JSON, nullable=False),
        Column("ttl_s", Float, nullable=False),
        Column("max_parallel", Integer, nullable=True),
        Column("max_per_minute", Integer, nullable=True),
        Column("stop_after_failures", Integer, nullable=True),
        Column("stopping", Integer, nullable=False),
        Column("problem", String, nullable=False),
        Column("total", Integer, nullable=False),
        Column("ended", Integer, nullable=False),
        Column("succeeded", Integer, nullable=False),
        Column("failures", Integer, nullable=False),
    )
    op.create_index(
        "operations_by_key", "operations", ["issuer_id", "idempotency_key"], unique=True
    )
    op.create_index("operations_by_finish", "operations", ["finished"])


def _commands() -> None:
    op.create_table(
        "commands",
        Column("id", String, primary_key=True),
        Column("operation_id", String, nullable=False),
        Column("place", Integer, nullable=False),
        Column("step", Integer, nullable=False),
        Column("undoes", Integer, nullable=False),
        Column("vm_id", String, nullable=False),
        Column("vm_name", String, nullable=False),
        Column("host_id", String, nullable=False),
        Column("identity_id", String, nullable=False),
        Column("verb", String, nullable=False),
        Column("arguments", JSON, nullable=False),
        Column("expect", JSON, nullable=False),
        Column("ttl_s", Float, nullable=False),
        Column("timeout_s", Float, nullable=False),
        Column("created", TIME, nullable=False),
        Column("state", String, nullable=False),
        Column("version", Integer, nullable=False),
        Column("ready", Integer, nullable=False),
        Column("turn", TIME, nullable=True),
        Column("expires", TIME, nullable=True),
        Column("deadline", TIME, nullable=True),
        Column("delivered", TIME, nullable=True),
        Column("begun", TIME, nullable=True),
        Column("ended", TIME, nullable=True),
        Column("instance", String, nullable=False),
        Column("deliveries", Integer, nullable=False),
        Column("reported", Integer, nullable=False),
        Column("share", Float, nullable=True),
        Column("text", String, nullable=False),
        Column("error", String, nullable=False),
        Column("detail", JSON, nullable=False),
        Column("late", String, nullable=False),
        Column("cancelling", Integer, nullable=False),
        Column("alarmed", Integer, nullable=False),
    )
    op.create_index("commands_by_operation", "commands", ["operation_id", "place"])
    op.create_index("commands_by_delivery", "commands", ["delivered"])
    op.create_index("commands_by_vm", "commands", ["vm_id", "operation_id"])
    for index, columns in (
        ("commands_open_by_vm", ["vm_id"]),
        ("commands_open_by_agent", ["identity_id", "turn"]),
        ("commands_open_by_turn", ["turn"]),
        ("commands_open_by_deadline", ["deadline"]),
        ("commands_open_by_operation", ["operation_id"]),
    ):
        op.create_index(index, "commands", columns, sqlite_where=OPEN, postgresql_where=OPEN)


def _command_events() -> None:
    op.create_table(
        "command_events",
        Column("command_id", String, primary_key=True),
        Column("version", Integer, primary_key=True),
        Column("at", TIME, nullable=False),
        Column("state", String, nullable=False),
        Column("text", String, nullable=False),
    )


def _agent_abilities() -> None:
    op.create_table(
        "agent_abilities",
        Column("identity_id", String, primary_key=True),
        Column("at", TIME, nullable=False),
        Column("instance", String, nullable=False),
        Column("version", String, nullable=False),
        Column("boot_id", String, nullable=False),
        Column("provider", String, nullable=False),
        Column("verbs", JSON, nullable=False),
    )


def _schedules() -> None:
    op.create_table(
        "schedules",
        Column("id", String, primary_key=True),
        Column("name", String, nullable=False),
        Column("owner_id", String, nullable=False),
        Column("owner_name", String, nullable=False),
        Column("limit", JSON, nullable=True),
        Column("created", TIME, nullable=False),
        Column("body", JSON, nullable=False),
        Column("cron", String, nullable=False),
        Column("zone", String, nullable=False),
        Column("paused", Integer, nullable=False),
        Column("next_run", TIME, nullable=True),
        Column("last_run", TIME, nullable=True),
        Column("last_operation", String, nullable=False),
        Column("problem", String, nullable=False),
        Column("runs", Integer, nullable=False),
        Column("skipped", Integer, nullable=False),
    )
    op.create_index("schedules_by_run", "schedules", ["next_run"])


def _brakes() -> None:
    op.create_table(
        "brakes",
        Column("id", String, primary_key=True),
        Column("held", Integer, nullable=False),
        Column("since", TIME, nullable=False),
        Column("by", String, nullable=False),
        Column("reason", String, nullable=False),
    )
