"""Commands, the operations they belong to, what happened to them, schedules, and the brake.

Numbers that are 0 or 1 are flags. `turn` of a command is when the dispatcher is to look at it
next, null: not before something happens to it. A step whose predecessors are not done is not
`ready`, and has neither `turn` nor `expires`.
"""

from __future__ import annotations

from sqlalchemy import JSON, Column, Float, Index, Integer, Table, text

from novacron_store.state.tables.columns import Text, UtcTime, metadata

operations = Table(
    "operations",
    metadata,
    Column("id", Text, primary_key=True),
    Column("issuer_id", Text, nullable=False),
    Column("issuer_name", Text, nullable=False),
    Column("token_id", Text, nullable=False),
    Column("source", Text, nullable=False),  # the address it was asked from
    Column("schedule_id", Text, nullable=False),
    Column("idempotency_key", Text, nullable=True),
    Column("body_hash", Text, nullable=False),
    Column("created", UtcTime, nullable=False),
    Column("finished", UtcTime, nullable=True),
    Column("state", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("reason", Text, nullable=False),
    Column("steps", JSON, nullable=False),
    Column("targets", JSON, nullable=False),
    Column("expect", JSON, nullable=False),
    Column("ttl_s", Float, nullable=False),
    Column("max_parallel", Integer, nullable=True),
    Column("max_per_minute", Integer, nullable=True),
    Column("stop_after_failures", Integer, nullable=True),
    Column("stopping", Integer, nullable=False),
    Column("problem", Text, nullable=False),  # why it was stopped
    Column("total", Integer, nullable=False),  # commands, those that undo included
    Column("ended", Integer, nullable=False),
    Column("succeeded", Integer, nullable=False),
    Column("failures", Integer, nullable=False),
    Index("operations_by_key", "issuer_id", "idempotency_key", unique=True),
    Index("operations_by_finish", "finished"),
)

commands = Table(
    "commands",
    metadata,
    Column("id", Text, primary_key=True),
    Column("operation_id", Text, nullable=False),
    Column("place", Integer, nullable=False),  # among those of one VM in the operation
    Column("step", Integer, nullable=False),
    Column("undoes", Integer, nullable=False),
    Column("vm_id", Text, nullable=False),
    Column("vm_name", Text, nullable=False),
    Column("host_id", Text, nullable=False),
    Column("identity_id", Text, nullable=False),  # of the agent
    Column("verb", Text, nullable=False),
    Column("arguments", JSON, nullable=False),
    Column("expect", JSON, nullable=False),
    Column("ttl_s", Float, nullable=False),
    Column("timeout_s", Float, nullable=False),
    Column("created", UtcTime, nullable=False),
    Column("state", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("ready", Integer, nullable=False),
    Column("turn", UtcTime, nullable=True),
    Column("expires", UtcTime, nullable=True),
    Column("deadline", UtcTime, nullable=True),  # when nobody waits for its end any longer
    Column("delivered", UtcTime, nullable=True),
    Column("begun", UtcTime, nullable=True),
    Column("ended", UtcTime, nullable=True),
    Column("instance", Text, nullable=False),  # of the journal it was delivered to
    Column("deliveries", Integer, nullable=False),
    Column("reported", Integer, nullable=False),  # the highest number of its reports
    Column("share", Float, nullable=True),
    Column("text", Text, nullable=False),
    Column("error", Text, nullable=False),
    Column("detail", JSON, nullable=False),
    Column("late", Text, nullable=False),  # the end that was reported after the record was closed
    Column("cancelling", Integer, nullable=False),
    Column("alarmed", Integer, nullable=False),
    Index("commands_by_operation", "operation_id", "place"),
    Index("commands_by_delivery", "delivered"),
    Index("commands_by_vm", "vm_id", "operation_id"),
)
_OPEN = text("ended IS NULL")
for _name, _columns in (
    ("commands_open_by_vm", (commands.c.vm_id,)),
    ("commands_open_by_agent", (commands.c.identity_id, commands.c.turn)),
    ("commands_open_by_turn", (commands.c.turn,)),
    ("commands_open_by_deadline", (commands.c.deadline,)),
    ("commands_open_by_operation", (commands.c.operation_id,)),
):
    Index(_name, *_columns, sqlite_where=_OPEN, postgresql_where=_OPEN)

# What goes to agents and is shown to nobody, while the operation goes on.
operation_secrets = Table(
    "operation_secrets",
    metadata,
    Column("operation_id", Text, primary_key=True),
    Column("secrets", JSON, nullable=False),
)

command_events = Table(
    "command_events",
    metadata,
    Column("command_id", Text, primary_key=True),
    Column("version", Integer, primary_key=True),  # of the command, by it
    Column("at", UtcTime, nullable=False),
    Column("state", Text, nullable=False),
    Column("text", Text, nullable=False),
)

# What the agent of an identity said when it started last.
abilities = Table(
    "agent_abilities",
    metadata,
    Column("identity_id", Text, primary_key=True),
    Column("at", UtcTime, nullable=False),
    Column("instance", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("boot_id", Text, nullable=False),
    Column("provider", Text, nullable=False),
    Column("verbs", JSON, nullable=False),
)

schedules = Table(
    "schedules",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("owner_id", Text, nullable=False),
    Column("owner_name", Text, nullable=False),
    Column(
        "limit", JSON(none_as_null=True), nullable=True
    ),  # of the token it was made with: grants
    Column("created", UtcTime, nullable=False),
    Column("body", JSON, nullable=False),
    Column("cron", Text, nullable=False),
    Column("zone", Text, nullable=False),
    Column("paused", Integer, nullable=False),
    Column("next_run", UtcTime, nullable=True),
    Column("last_run", UtcTime, nullable=True),
    Column("last_operation", Text, nullable=False),
    Column("problem", Text, nullable=False),
    Column("runs", Integer, nullable=False),
    Column("skipped", Integer, nullable=False),
    Index("schedules_by_run", "next_run"),
)

# One row at most.
brakes = Table(
    "brakes",
    metadata,
    Column("id", Text, primary_key=True),
    Column("held", Integer, nullable=False),
    Column("since", UtcTime, nullable=False),
    Column("by", Text, nullable=False),
    Column("reason", Text, nullable=False),
)
