"""Charts of one machine, from a real store."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from fleet_samples import SampleFleet
from novacron_contract.errors import BadMessage, NotFound
from novacron_contract.metrics import BY_NAME, Kind
from novacron_store.telemetry.client import per_thread
from novacron_ui.query.drawing import Range, parse_range
from novacron_ui.query.machine import PANELS, Machines
from novacron_ui.query.panels import Panel
from ui_world import World

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


@pytest.fixture
def machines(world: World, fleet: SampleFleet) -> Machines:
    return Machines(world.inventory, per_thread(world.client))


@pytest.fixture
def last_hour(fleet: SampleFleet) -> Range:
    return Range(fleet.now - timedelta(hours=1), fleet.now, 600)


def test_a_vm_is_found_by_id_and_by_name(machines: Machines, fleet: SampleFleet) -> None:
    db = machines.find(fleet.db)
    assert machines.find("db-1") == db
    assert db.host is not None
    assert (db.kind, db.host.name) == ("vm", "kvm-a")
    assert machines.find("kvm-a").kind == "host"
    with pytest.raises(NotFound):
        machines.find("nobody")


def test_a_gauge_is_drawn_as_it_is(
    machines: Machines, fleet: SampleFleet, last_hour: Range
) -> None:
    drawn = machines.draw(fleet.db, "vm", "cpu", last_hour)

    (line,) = drawn["lines"]
    assert (line["name"], set(line["values"])) == ("CPU", {0.25})
    assert (drawn["resolution"], drawn["left"]) == ("raw", 0)
    assert drawn["x"] == sorted(drawn["x"])


def test_a_counter_is_drawn_as_its_rate(
    machines: Machines, fleet: SampleFleet, last_hour: Range
) -> None:
    drawn = machines.draw(fleet.db, "vm", "network", last_hour)

    rates = {line["name"]: line["values"][-1] for line in drawn["lines"]}
    assert rates == {"in": 1000, "out": 500}


def test_several_metrics_share_a_panel_under_their_own_names(
    machines: Machines, fleet: SampleFleet, last_hour: Range
) -> None:
    drawn = machines.draw(fleet.db, "vm", "memory", last_hour)

    assert [line["name"] for line in drawn["lines"]] == ["used in the guest", "limit"]


def test_a_panel_without_values_is_empty(
    machines: Machines, fleet: SampleFleet, last_hour: Range
) -> None:
    assert machines.draw(fleet.db, "vm", "disk", last_hour)["lines"] == []
    with pytest.raises(NotFound):
        machines.draw(fleet.db, "vm", "no-such-panel", last_hour)


def test_a_range_is_the_last_seconds_or_from_a_start_to_an_end() -> None:
    assert parse_range({"span": 3600, "points": 300}, NOW) == Range(
        NOW - timedelta(hours=1), NOW, 300
    )
    start = int(NOW.timestamp() * 1000)
    over = parse_range({"start": start, "end": start + 60_000, "points": 10**9}, NOW)
    assert (over.end - over.start, over.points) == (timedelta(minutes=1), 1200)


@pytest.mark.parametrize(
    "raw",
    [
        None,
        {},
        {"span": 3600},
        {"span": "3600", "points": 300},
        {"span": 0, "points": 300},
        {"span": 10**30, "points": 300},
        {"start": 0, "end": 10**30, "points": 300},
        {"start": 60_000, "end": 0, "points": 300},
        {"start": 0, "end": 10**14, "points": 300},
    ],
)
def test_a_range_that_makes_no_sense_is_refused(raw: Any) -> None:
    with pytest.raises(BadMessage):
        parse_range(raw, NOW)


@pytest.mark.parametrize(
    "panel", [one for of_kind in PANELS.values() for one in of_kind], ids=lambda panel: panel.title
)
def test_a_panel_draws_metrics_of_the_contract(panel: Panel) -> None:
    for name in panel.metrics:
        metric = BY_NAME[name]
        assert metric.unit == panel.unit
        assert (metric.kind is Kind.COUNTER) == panel.is_rate
        assert set(panel.labels) <= set(metric.attributes)
