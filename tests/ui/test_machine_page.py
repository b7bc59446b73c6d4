"""A Machine page in a real browser."""

from __future__ import annotations

import pytest
from playwright.sync_api import Locator, Page, expect

from browser import Open
from fleet_samples import SampleFleet
from live_feed import LiveFeed, now_ms, wait_until

pytestmark = pytest.mark.browser


def panel(page: Page, name: str) -> Locator:
    return page.get_by_role("region", name=name, exact=True)


def test_a_vm_has_tiles_and_charts_with_their_resolution(
    ui: str, fleet: SampleFleet, visit: Open
) -> None:
    page = visit(f"{ui}/machine/{fleet.web}").page

    expect(page.locator("#machine-tiles")).to_contain_text("50.0 %")
    expect(page.locator("#machine-tiles")).to_contain_text("of 2 CPUs")
    expect(panel(page, "CPU").locator(".badge")).to_have_text("raw")
    expect(panel(page, "CPU").locator(".legend-value")).to_have_text("50.0 %")
    expect(panel(page, "Network throughput").locator(".legend")).to_contain_text("1.00 kB/s")
    expect(page.locator("#machine-empty")).to_contain_text("Disk throughput")
    expect(page.get_by_role("link", name="kvm-a").first).to_be_visible()


def test_the_newest_point_arrives_on_the_chart_live(
    ui: str, fleet: SampleFleet, visit: Open, feed: LiveFeed
) -> None:
    page = visit(f"{ui}/machine/{fleet.db}").page
    value = panel(page, "CPU").locator(".legend-value")
    expect(value).to_have_text("25.0 %")
    wait_until(lambda: feed.subscribed("vm.cpu.utilization"))

    feed.push(["vm.cpu.utilization", fleet.db, {}, now_ms(), 0.75])

    expect(value).to_have_text("75.0 %")


def test_the_range_is_in_the_url(ui: str, fleet: SampleFleet, visit: Open) -> None:
    page = visit(f"{ui}/machine/{fleet.web}?range=6h").page
    chosen = page.get_by_role("button", name="6h", exact=True)
    expect(chosen).to_have_attribute("aria-pressed", "true")
    page.get_by_role("button", name="24h", exact=True).click()
    expect(panel(page, "CPU").locator(".legend-value")).to_have_text("50.0 %")
    assert "range=24h" in page.url


def test_dragging_over_a_chart_zooms_every_chart(ui: str, fleet: SampleFleet, visit: Open) -> None:
    page = visit(f"{ui}/machine/{fleet.web}?range=15m").page
    over = panel(page, "CPU").locator(".u-over")
    expect(over).to_be_visible()
    box = over.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + 20)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.9, box["y"] + 20)
    page.mouse.up()

    page.wait_for_url("**/machine/*?from=*&to=*")
    expect(panel(page, "CPU").locator(".legend-value")).to_have_text("50.0 %")


def test_a_host_lists_its_vms(ui: str, fleet: SampleFleet, visit: Open) -> None:
    page = visit(f"{ui}/machine/{fleet.host_a}").page
    vms = page.get_by_role("table", name="Virtual machines")
    expect(vms.get_by_role("link", name="db-1")).to_be_visible()
    expect(vms).to_contain_text("25.0 %")


def test_an_unknown_machine_is_explained(ui: str, fleet: SampleFleet, visit: Open) -> None:
    page = visit(f"{ui}/machine/nobody").page
    expect(page.get_by_role("heading")).to_have_text("There is no such machine")
    page.get_by_role("link", name="Go to Fleet").click()
    expect(page.get_by_role("heading", name="Fleet")).to_be_visible()


def test_a_line_that_is_measured_less_often_than_others_is_joined_but_for_its_gaps(
    ui: str, visit: Open
) -> None:
    script = """async () => {
        const { aligned } = await import("/assets/panel.js");
        const { valueAt } = await import("/assets/chart.js");
        const values = aligned({ values: [1, null, 3, null, null, null, 7, null], gaps: [4] });
        return values.map((value, at) => [
            value === undefined ? "joined" : value, valueAt(values, at) ?? null,
        ]);
    }"""

    drawn, read = zip(*visit(ui).page.evaluate(script), strict=True)

    assert drawn == (1, "joined", 3, None, None, None, 7, "joined")
    assert read == (1, 1, 3, None, None, None, 7, None)
