"""The state database as lines of JSON, and back."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import Engine

from novacron_contract.errors import ConfigError
from novacron_store.state import Agent, Agents, Host, Inventory, Vm, migrate, open_state
from novacron_store.state.copy import dump, load

NOON = datetime(2026, 11, 24, 12, 0, 0, 123456, tzinfo=UTC)
LATER = datetime(2026, 11, 24, 12, 5, tzinfo=UTC)


@pytest.fixture
def filled(engine: Engine) -> Engine:
    inventory = Inventory(engine)
    inventory.see_hosts([Host("h1", "kvm-a", NOON, NOON, "amd64", "linux", {"host.id": "h1"})])
    names = ["web", "dätä\n'\"", "web"]
    vms = [
        Vm(f"vm-{n}", name, "h1", NOON, NOON, "libvirt", {"vm.name": name, "n": str(n)})
        for n, name in enumerate(names)
    ]
    inventory.see_vms(vms)
    inventory.see_vms([Vm("vm-0", "renamed", "h2", LATER, LATER, "libvirt", {}, "a1")])
    Agents(engine).see(Agent("a1", "h1", "0.1.0", 10.0, None, NOON, "a1"))
    return engine


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Engine]:
    engine = open_state(f"sqlite:///{tmp_path}/other.db")
    yield engine
    engine.dispose()


def test_an_empty_database_becomes_the_same(filled: Engine, other: Engine) -> None:
    lines = list(dump(filled))

    assert load(other, lines) == len(lines) - 1 == 9

    assert list(dump(other)) == lines
    assert sum('"reported_by": "a1"' in line for line in lines) == 2
    assert Inventory(other).vms() == Inventory(filled).vms()
    assert Inventory(other).history("vm-0") == Inventory(filled).history("vm-0")
    assert Agents(other).all() == Agents(filled).all()


def test_what_sqlite_had_goes_into_either(empty_url: str, tmp_path: Path, other: Engine) -> None:
    migrate(other)
    Inventory(other).see_hosts([Host("h1", "a", NOON, NOON, "amd64", "linux", {"k": "v"})])
    target = open_state(empty_url)

    load(target, dump(other))

    assert Inventory(target).hosts() == Inventory(other).hosts()
    target.dispose()


def test_nothing_is_put_over_what_is_there(filled: Engine) -> None:
    lines = list(dump(filled))
    with pytest.raises(ConfigError, match="is not empty"):
        load(filled, lines)
    assert list(dump(filled)) == lines


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([], "no line of a state database"),
        (["{}"], "schema 'None' is newer"),
        (['{"schema": "9999"}'], "schema '9999' is newer"),
        (['{"schema": "0001"}', '{"table": "nowhere", "row": {}}'], "no line of a state database"),
        (['{"schema": "0001"}', "[1]"], "no line of a state database"),
        (['{"schema": "0001"}', '{"table": "hosts"'], "no line of a state database"),
    ],
)
def test_what_is_no_copy_is_refused_and_leaves_nothing(
    other: Engine, lines: list[str], said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        load(other, lines)
    migrate(other)
    assert len(list(dump(other))) == 1
