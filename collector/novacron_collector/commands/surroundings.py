"""What commands need of identities, users and telemetry, from where it is kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime

from clickhouse_connect.driver.client import Client

from novacron_collector.commands.placing import Memory
from novacron_contract.access import Principal, PrincipalKind
from novacron_contract.errors import Unavailable
from novacron_contract.metrics import VmState
from novacron_store.state import Users
from novacron_store.state.identities import Identities, Standing
from novacron_store.telemetry.builder import Index
from novacron_store.telemetry.queries import fleet_now


def agents_of_hosts(identities: Identities) -> Mapping[str, str]:
    """Which agent takes commands for each host."""
    return {
        one.host_id: one.agent_id
        for one in identities.all()
        if one.standing is Standing.ACTIVE and one.host_id
    }


def principal_of(users: Users, user_id: str) -> Principal | None:
    """With the rights that the user has now; None: disabled, or gone."""
    for user in users.all():
        if user.id == user_id and user.disabled is None:
            return Principal(PrincipalKind.USER, user.id, user.name, user.grants)
    return None


def memory(
    telemetry: Callable[[], Client], index: Index, now: Callable[[], datetime]
) -> Mapping[str, Memory]:
    """Of hosts and VMs, as it was measured last; of none while the store does not answer."""
    try:
        client = telemetry()
        rows = fleet_now(client, now(), index.progress(client).borders)
    except Unavailable:
        return {}
    return {row.entity: Memory(row.memory_usage, row.memory_limit) for row in rows}


def states(
    telemetry: Callable[[], Client], index: Index, now: Callable[[], datetime]
) -> Mapping[str, VmState]:
    """Of VMs, as they were measured last.

    Raises:
        Unavailable: the store does not answer.
    """
    client = telemetry()
    rows = fleet_now(client, now(), index.progress(client).borders)
    known = {state.value: state for state in VmState}
    return {row.entity: known[row.state] for row in rows if row.state in known}
