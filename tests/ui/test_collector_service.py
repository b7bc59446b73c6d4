"""Collectors and their charts, from a real store."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from clickhouse_connect.driver.client import Client

from collector_samples import stored_collector
from novacron_contract.collector_metrics import (
    COLLECTOR_BY_NAME,
    COLLECTOR_METRICS,
    COLLECTOR_SERVICE_NAME,
)
from novacron_contract.errors import NotFound
from novacron_contract.metrics import Kind
from novacron_store.telemetry.client import per_thread
from novacron_store.telemetry.queries import Line
from novacron_ui.query.collector import HEADLINES, Collectors
from novacron_ui.query.collector_panels import COLLECTOR_PANELS
from novacron_ui.query.drawing import Range, one_per_name
from novacron_ui.query.panels import Panel
from ui_world import World


@pytest.fixture
def client(world: World) -> Iterator[Client]:
    client = world.client()
    yield client
    client.close()


@pytest.fixture
def collectors(world: World) -> Collectors:
    return Collectors(per_thread(world.client))


@pytest.fixture
def draw(collectors: Collectors) -> Callable[[str, str], dict[str, Any]]:
    def drawn(instance: str, panel: str) -> dict[str, Any]:
        now = datetime.now(UTC)
        over = Range(now - timedelta(minutes=15), now, 600)
        return collectors.draw(f"{COLLECTOR_SERVICE_NAME}/{instance}", panel, over)

    return drawn


def test_collectors_of_one_host_are_told_apart(empty_world: World) -> None:
    client = empty_world.client()
    alone = stored_collector(client, "own-host", silent_s=50)
    first = stored_collector(client, "shared", silent_s=20)
    second = stored_collector(client, "shared", silent_s=10, version="0.2.0")
    collectors = Collectors(lambda: client)

    found = {each.id: each for each in collectors.instances(datetime.now(UTC))}

    assert list(found) == [second, first, alone], "the one heard of last first"
    assert found[alone].label == "own-host"
    assert found[first].label == f"shared · {first[:8]}"
    assert (found[second].host, found[second].version) == ("shared", "0.2.0")
    client.close()


def test_headlines_have_values_and_rates(client: Client, collectors: Collectors) -> None:
    entity = f"{COLLECTOR_SERVICE_NAME}/{stored_collector(client, 'h', rejected=3)}"

    rows = collectors.headlines(entity, datetime.now(UTC))["figures"]

    told = {(metric, *labels.values()): (value, rate) for metric, labels, _, value, rate in rows}
    assert told["novacron.collector.log.lag",] == (1.2, None)
    assert told["novacron.collector.point.count",][1] == pytest.approx(12_000)
    assert told["novacron.collector.point.rejected", "too_old"][1] == pytest.approx(3)
    assert {key[0] for key in told} == set(HEADLINES)


def test_reasons_that_never_happened_are_not_drawn(
    client: Client, draw: Callable[[str, str], dict[str, Any]]
) -> None:
    instance = stored_collector(client, "h", rejected=3)

    rejected, refused = draw(instance, "rejected"), draw(instance, "refused")

    assert [line["name"] for line in rejected["lines"]] == ["too old"]
    assert (rejected["quiet"], rejected["lines"][0]["values"][-1]) == ("", pytest.approx(3))
    assert (refused["lines"], refused["x"]) == ([], [])
    assert refused["quiet"] == "No request was refused"


def test_a_panel_that_was_never_reported_is_empty_and_says_nothing(
    client: Client, draw: Callable[[str, str], dict[str, Any]]
) -> None:
    instance = stored_collector(client, "h")

    failures = draw(instance, "failures")

    assert (failures["lines"], failures["quiet"]) == ([], "")
    with pytest.raises(NotFound):
        draw(instance, "no-such-panel")


def test_the_smallest_of_too_many_lines_are_left_out(
    client: Client, draw: Callable[[str, str], dict[str, Any]]
) -> None:
    parts = draw(stored_collector(client, "h", tables=20), "parts")

    assert [line["name"] for line in parts["lines"]] == [f"table-{n}" for n in range(20, 2, -1)]
    assert parts["left"] == 2


def test_a_newer_release_goes_on_with_the_line_after_a_gap() -> None:
    before, after = Line({"a": "1"}, [10, 20], [1.0, 2.0]), Line({"a": "1"}, [40, 50], [3.0, 4.0])
    other = Line({"a": "2"}, [10], [9.0])

    lines = one_per_name([("m", after), ("m", other), ("m", before), ("n", before)])

    assert [metric for metric, _ in lines] == ["m", "m", "n"]
    assert lines[0][1] == Line({"a": "1"}, [10, 20, 30, 40, 50], [1.0, 2.0, None, 3.0, 4.0])
    assert lines[1][1] == other


@pytest.mark.parametrize("panel", COLLECTOR_PANELS, ids=lambda panel: panel.title)
def test_a_panel_draws_metrics_of_the_contract(panel: Panel) -> None:
    for name in panel.metrics:
        metric = COLLECTOR_BY_NAME[name]
        assert metric.unit == panel.unit
        assert (metric.kind is Kind.COUNTER) == panel.is_rate
        assert (metric.kind is Kind.HISTOGRAM) == bool(panel.quantiles)
        assert metric.attributes == (() if panel.quantiles else panel.labels)


def test_every_panel_has_an_id_and_a_title_of_its_own() -> None:
    for names in ({p.id for p in COLLECTOR_PANELS}, {p.title for p in COLLECTOR_PANELS}):
        assert len(names) == len(COLLECTOR_PANELS)
    drawn = {name for panel in COLLECTOR_PANELS for name in panel.metrics}
    assert drawn <= {metric.name for metric in COLLECTOR_METRICS}
