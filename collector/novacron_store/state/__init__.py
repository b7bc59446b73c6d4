"""State in SQLite or PostgreSQL: agents, inventory, users, the audit.

engine = open_state("sqlite:////var/lib/novacron/state.db")
migrate(engine)
Inventory(engine).vms()
"""

from novacron_store.state.agents import Agent, Agents
from novacron_store.state.api_tokens import ApiToken, ApiTokens, NewToken
from novacron_store.state.audit import Audit, Caller, Entry, Outcome
from novacron_store.state.audit_chain import Head, Verified
from novacron_store.state.database import open_state, safe_url
from novacron_store.state.freshness import Freshness, freshness
from novacron_store.state.inventory import Inventory
from novacron_store.state.machines import Host, Vm, VmPeriod
from novacron_store.state.migration import migrate, require_current
from novacron_store.state.sessions import Sessions
from novacron_store.state.users import Change, User, Users

__all__ = [
    "Agent",
    "Agents",
    "ApiToken",
    "ApiTokens",
    "Audit",
    "Caller",
    "Change",
    "Entry",
    "Freshness",
    "Head",
    "Host",
    "Inventory",
    "NewToken",
    "Outcome",
    "Sessions",
    "User",
    "Users",
    "Verified",
    "Vm",
    "VmPeriod",
    "freshness",
    "migrate",
    "open_state",
    "require_current",
    "safe_url",
]
