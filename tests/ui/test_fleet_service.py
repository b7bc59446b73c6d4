"""What Fleet shows, from a real store and inventory."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from fleet_samples import GIB, SampleFleet
from novacron_store.state import Agents, Vm
from novacron_store.telemetry.client import per_thread
from novacron_ui.query.fleet import Fleet, encode, sparkline_span
from ui_world import World


@pytest.fixture
def service(world: World, fleet: SampleFleet) -> Fleet:
    return Fleet(world.inventory, Agents(world.state), per_thread(world.client))


def machine(snapshot: dict[str, Any], machine_id: str) -> dict[str, Any]:
    columns = snapshot["machines"]
    position = columns["id"].index(machine_id)
    return {name: values[position] for name, values in columns.items()}


def test_a_vm_has_its_newest_values(service: Fleet, fleet: SampleFleet) -> None:
    db = machine(service.snapshot(fleet.now), fleet.db)

    assert (db["name"], db["kind"], db["state"]) == ("db-1", "vm", "running")
    assert db["host"] == fleet.host_a
    assert (db["cpu"], db["cpus"]) == (0.25, 2)
    assert (db["memory"], db["memoryLimit"]) == pytest.approx((GIB, 2 * GIB), rel=1e-3)
    assert (db["received"], db["sent"], db["read"]) == (1000, 500, None)
    assert db["staleAfter"] == 30_000, "three of its agent's intervals"


def test_a_vm_without_samples_is_still_in_the_fleet(
    service: Fleet, fleet: SampleFleet, world: World
) -> None:
    long_ago = fleet.now - timedelta(days=3)
    world.inventory.see_vms([Vm("gone", "gone-1", fleet.host_a, long_ago, long_ago)])

    gone = machine(service.snapshot(fleet.now), "gone")

    assert gone["seen"] == long_ago.timestamp() * 1000
    assert (gone["state"], gone["cpu"]) == ("", None)


def test_around_a_host_are_only_its_vms(service: Fleet, fleet: SampleFleet) -> None:
    near = service.around(fleet.host_b, fleet.now)

    assert sorted(near["machines"]["id"]) == sorted([fleet.host_b, fleet.idle])


def test_a_sparkline_has_a_letter_where_there_are_samples(
    service: Fleet, fleet: SampleFleet
) -> None:
    line = service.cpu_sparklines(datetime.now(UTC))["lines"][fleet.web]

    assert len(line) <= 73
    assert set(line) == {" ", encode([0.5])}


@pytest.mark.parametrize(
    ("known", "shown"), [("2m", "15m"), ("15m", "15m"), ("40m", "1h"), ("5h", "6h"), ("30d", "6h")]
)
def test_a_young_system_shows_its_minutes(known: str, shown: str) -> None:
    units = {"m": "minutes", "h": "hours", "d": "days"}
    age, span = (timedelta(**{units[text[-1]]: int(text[:-1])}) for text in (known, shown))

    assert sparkline_span(age)[0] == span


def test_shares_are_encoded_in_order_and_gaps_kept() -> None:
    assert encode([0.0, None, 1.0, 7.0]) == "0 //"
    assert encode([0.25, 0.5, 0.75]) == "GWl"
