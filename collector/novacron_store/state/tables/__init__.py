"""The tables of the state database, one module for each writer.

inventory   what was reported: hosts, VMs, agents
access      users, their tokens and sessions, the audit
enrolment   agents' identities, join tokens, senders' tokens
commands    commands, operations, schedules
"""

from novacron_store.state.tables import access, commands, enrolment, inventory
from novacron_store.state.tables.columns import UtcTime, metadata

__all__ = ["UtcTime", "access", "commands", "enrolment", "inventory", "metadata"]
