"""The Collector page in a real browser."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import httpx
import pytest
from opentelemetry.proto.metrics.v1.metrics_pb2 import MetricsData
from playwright.sync_api import Locator, Page, expect

from browser import HOSTILE, Open
from collector_process import CollectorProcess, collector
from collector_samples import MIB, stored_collector
from free_ports import free_port
from live_feed import LiveFeed, now_ms, wait_until
from novacron_collector.receivers.http import PROTOBUF
from novacron_contract.collector_metrics import COLLECTOR_SERVICE_NAME, TABLE
from novacron_store.state import open_state
from novacron_store.telemetry.client import DATABASE
from store_process import StoreProcess
from ui_world import World, novacron_ui

pytestmark = pytest.mark.browser


def panel(page: Page, name: str) -> Locator:
    """Scrolled to: what nobody sees is not asked for."""
    found = page.get_by_role("region", name=name, exact=True)
    found.scroll_into_view_if_needed()
    return found


def state(page: Page) -> Locator:
    return page.locator("#collector-state")


@pytest.fixture
def one(world: World) -> str:
    """The id of a collector that reports."""
    client = world.client()
    instance = stored_collector(client, "kvm-a")
    client.close()
    return instance


def test_the_state_is_said_in_words_and_figures(ui: str, one: str, visit: Open) -> None:
    visited = visit(f"{ui}/collector/{one}?range=15m")
    page = visited.page

    expect(state(page)).to_have_text(
        "Receiving 12.0 k points/s; everything is stored within 1.20 s"
    )
    expect(state(page)).to_have_attribute("data-tone", "good")
    tiles = page.locator("#collector-tiles")
    for text in ("12.0 k/s", "0 requests/s", "3.00 MiB", "of 4 GiB at most", "25.0 % CPU"):
        expect(tiles).to_contain_text(text)
    expect(panel(page, "Points taken").locator(".legend-value")).to_have_text("12.0 k/s")
    expect(panel(page, "Rejected points by reason")).to_contain_text("No point was rejected")
    expect(panel(page, "Longest wait for the store").locator(".legend-value")).to_have_text(
        "1.20 s"
    )
    panel(page, "Failed writes")
    expect(page.locator("#collector-empty")).to_contain_text("Failed writes")
    expect(panel(page, "Series known").locator(".legend-value")).to_have_text("1.23 k")
    expect(page.get_by_role("link", name="Collector")).to_have_attribute("aria-current", "page")
    assert page.title() == "Collector · NovaCron"
    assert visited.errors == []


def test_the_newest_point_arrives_live(ui: str, one: str, visit: Open, feed: LiveFeed) -> None:
    page = visit(f"{ui}/collector/{one}?range=15m").page
    memory = panel(page, "Memory of the collector").locator(".legend-value")
    expect(memory).to_have_text("200 MiB")
    wait_until(lambda: feed.subscribed("novacron.collector.log.lag"))
    entity, now = f"{COLLECTOR_SERVICE_NAME}/{one}", now_ms()

    feed.push(
        ["novacron.collector.log.lag", entity, {}, now, 200.0],
        ["novacron.collector.log.size", entity, {}, now, 64 * MIB],
        ["process.memory.usage", entity, {}, now, 512 * MIB],
        ["process.memory.usage", "novacron-collector/another", {}, now, 1.0],
    )

    expect(state(page)).to_contain_text("the store is behind: 64.0 MiB wait, the oldest for 3 min")
    expect(state(page)).to_have_attribute("data-tone", "bad")
    expect(memory).to_have_text("512 MiB")
    expect(page.locator("#collector-tiles")).to_contain_text("512 MiB of memory")


def test_what_is_turned_away_shows_with_its_reason(world: World, ui: str, visit: Open) -> None:
    client = world.client()
    instance = stored_collector(client, "kvm-a", rejected=3)
    client.close()
    page = visit(f"{ui}/collector/{instance}?range=15m").page

    expect(state(page)).to_contain_text("turning away 3.00 points/s")
    expect(state(page)).to_have_attribute("data-tone", "warn")
    legend = panel(page, "Rejected points by reason").locator(".legend-entry")
    expect(legend).to_have_count(1)
    expect(legend).to_contain_text("too old")


def test_one_of_several_is_chosen_and_names_are_only_text(
    world: World, ui: str, one: str, visit: Open
) -> None:
    client = world.client()
    hostile = stored_collector(client, HOSTILE, version=HOSTILE)
    client.close()
    visited = visit(f"{ui}/collector/{one}")
    page = visited.page
    choice = page.get_by_role("navigation", name="Collectors")
    expect(choice.locator("[aria-current=page]")).to_have_attribute("title", one)

    choice.get_by_title(hostile).click()

    page.wait_for_url(f"**/collector/{hostile}")
    expect(choice.locator("[aria-current=page]")).to_have_text(HOSTILE)
    expect(page.locator(".facts")).to_contain_text(f"version {HOSTILE}")
    expect(page.locator("#collector")).to_have_attribute(
        "data-entity", f"{COLLECTOR_SERVICE_NAME}/{hostile}"
    )
    expect(panel(page, "Points taken").locator(".legend-value")).to_have_text("12.0 k/s")
    assert page.title() == "Collector · NovaCron"
    assert visited.errors == []


def test_a_collector_that_fell_silent_is_said_to_be(world: World, ui: str, visit: Open) -> None:
    client = world.client()
    instance = stored_collector(client, "kvm-a", silent_s=200)
    client.close()
    page = visit(f"{ui}/collector/{instance}").page
    expect(state(page)).to_contain_text("Nothing was reported for 3 min")
    expect(state(page)).to_have_attribute("data-tone", "bad")


def test_what_the_operator_should_know_stands_above(
    ui: str, one: str, visit: Open, feed: LiveFeed
) -> None:
    message = "Nothing can be stored: the write-ahead log is full"
    feed.notices = [{"severity": "critical", "message": message}]
    try:
        page = visit(f"{ui}/collector/{one}").page
        expect(page.locator("#notices")).to_have_text(message)
    finally:
        feed.notices = []


def test_an_unknown_collector_is_explained(ui: str, one: str, visit: Open) -> None:
    page = visit(f"{ui}/collector/nobody").page
    expect(page.get_by_role("heading")).to_have_text("There is no such collector")


@pytest.mark.parametrize("width", [390, 1440])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_is_wider_than_the_screen(
    ui: str, one: str, visit: Open, width: int, scheme: Literal["light", "dark"]
) -> None:
    page = visit(f"{ui}/collector/{one}", width=width, scheme=scheme).page
    expect(panel(page, "Points taken").locator(".legend-value")).to_have_text("12.0 k/s")
    assert page.evaluate("document.documentElement.scrollWidth") == width


@pytest.mark.parametrize(
    ("summary", "tone", "says"),
    [
        ({"seen": 0}, "warn", "Nothing was reported in the last 15 minutes"),
        ({"seen": 9e5}, "bad", "Nothing was reported for 1 min: the collector is stopped"),
        ({"points": None}, "good", "Just started; everything is stored within 1.20 s"),
        ({"points": 0}, "good", "Receiving nothing; everything is stored within 1.20 s"),
        ({"lag": None}, "good", "Receiving 12.0 k points/s"),
        ({"lag": 20}, "warn", "the store is behind: 1.00 MiB wait, the oldest for 20 s"),
        ({"lag": 0}, "good", "everything is stored within 100 ms"),
        ({"refused": 2}, "warn", "; turning away 2.00 requests/s"),
        ({"refused": 2, "rejected": 5}, "warn", "2.00 requests/s and 5.00 points/s"),
    ],
)
def test_every_state_has_its_words(
    ui: str, visit: Open, summary: dict[str, Any], tone: str, says: str
) -> None:
    usual = {"seen": 1e6, "points": 12_000, "refused": 0, "rejected": 0, "size": MIB, "lag": 1.2}
    script = """async (summary) => {
        const { describe } = await import("/assets/collector_state.js");
        return describe(summary, 1e6);
    }"""

    described = visit(ui).page.evaluate(script, usual | summary)

    assert says in described["text"]
    assert described["tone"] == tone


@pytest.fixture
def anybody_reads(feed: LiveFeed) -> str:
    """The URL of a collector that says so."""
    return feed.url


def test_without_any_collector_the_page_waits_for_one(
    empty_world: World, anybody_reads: str, tmp_path: Path, visit: Open
) -> None:
    with novacron_ui(empty_world, anybody_reads, tmp_path) as url:
        page = visit(f"{url}/collector").page
        expect(page.get_by_role("heading")).to_have_text("No collector reports yet")
        client = empty_world.client()
        stored_collector(client, "kvm-a")
        client.close()
        expect(state(page)).to_contain_text("Receiving 12.0 k points/s", timeout=30_000)


def test_a_store_that_is_away_is_explained(
    world: World, anybody_reads: str, tmp_path: Path, visit: Open
) -> None:
    away = replace(world, url=f"http://127.0.0.1:{free_port()}")
    with novacron_ui(away, anybody_reads, tmp_path) as url:
        page = visit(f"{url}/collector").page
        expect(page.get_by_role("heading")).to_have_text("The store does not answer")
        expect(page.get_by_role("link", name="Look again")).to_be_visible()


@dataclass(frozen=True)
class Real:
    """A collector that reports each second, and a novacron-ui beside it."""

    process: CollectorProcess
    ui: str
    page: str


@pytest.fixture
def real(store_process: StoreProcess, tmp_path: Path) -> Iterator[Real]:
    state_url = f"sqlite:///{tmp_path}/state.db"
    engine = open_state(state_url)
    password_file = store_process.service_password_file
    world = World(store_process.url, password_file, DATABASE, state_url, engine)
    folder = tmp_path / "ui"
    folder.mkdir()
    with (
        collector(store_process, tmp_path, '[own_metrics]\nevery = "1s"\n') as process,
        novacron_ui(world, process.api, folder) as url,
    ):
        client = world.client()
        instance = (tmp_path / "wal" / "instance-id").read_text().strip()
        # Its samples are stored after its name is, and the page lists who has some. Of the store's
        # tables it reports every six seconds, and the page redraws lines it does not know at times.
        asked = (
            "SELECT 1 FROM metrics_raw WHERE metric = 'novacron.collector.store.parts' "
            "AND attributes[{label:String}] = 'arrivals' AND entity LIKE {id:String} LIMIT 1"
        )
        known = {"id": f"%{instance}", "label": TABLE}
        wait_until(lambda: client.query(asked, parameters=known).row_count, 60)
        client.close()
        yield Real(process, url, f"{url}/collector/{instance}?range=15m")
    engine.dispose()


def gauges(points: int) -> bytes:
    data = MetricsData()
    metric = data.resource_metrics.add().scope_metrics.add().metrics.add(name="sent")
    for number in range(points):
        metric.gauge.data_points.add(time_unix_nano=time.time_ns() + number, as_double=number)
    return bytes(data.SerializeToString())


def test_a_real_collector_is_seen_to_work(real: Real, visit: Open) -> None:
    visited = visit(real.page)
    page = visited.page
    tiles = page.locator("#collector-tiles")
    expect(tiles).to_contain_text("MiB of memory")
    page.evaluate("window.stillTheSamePage = true")

    with httpx.Client(headers={"content-type": PROTOBUF}) as http:
        deadline = time.monotonic() + 60
        while "points/s" not in state(page).inner_text() and time.monotonic() < deadline:
            assert http.post(f"{real.process.http}/v1/metrics", content=gauges(500)).is_success
            assert http.post(f"{real.process.http}/v1/metrics", content=b"junk").is_client_error
            page.wait_for_timeout(100)

    expect(state(page)).to_contain_text("points/s; everything is stored within")
    expect(panel(page, "Points taken").locator(".legend-value")).to_contain_text("/s")
    undecodable = panel(page, "Requests by outcome").get_by_role("button", name="undecodable")
    expect(undecodable).to_be_visible()
    for title in ("Time to log a group of requests", "Time to write a segment to the store"):
        chart = panel(page, title)
        expect(chart.locator(".legend-name")).to_have_text(["p50", "p95"])
        expect(chart.locator(".legend-value").first).to_contain_text("s")
    parts = panel(page, "Parts in the store by table")
    expect(parts.locator(".legend")).to_contain_text("arrivals")
    assert page.evaluate("window.stillTheSamePage"), "the page was loaded again"
    assert visited.errors == []
    socket = real.ui.replace("http", "ws", 1)
    assert [r for r in visited.requests if not r.startswith((real.ui, socket, "data:"))] == []
