"""Fleet in a real browser."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Locator, Page, expect

from browser import HOSTILE, Open
from fleet_samples import SampleFleet
from live_feed import LiveFeed, now_ms, wait_until

pytestmark = pytest.mark.browser


def row(page: Page, name: str) -> Locator:
    return page.locator(".rows .row:not([hidden])", has=page.get_by_text(name, exact=True))


def test_hosts_and_vms_are_shown_with_their_numbers(
    ui: str, fleet: SampleFleet, visit: Open
) -> None:
    page = visit(ui).page

    web = row(page, HOSTILE)
    expect(web).to_contain_text("Running")
    expect(web).to_contain_text("50.0 %")
    expect(web).to_contain_text("1.00 GiB / 2 GiB")
    expect(web).to_contain_text("1.00 kB/s")
    expect(web.locator(".spark-line")).to_have_attribute("d", re.compile("^M"))
    expect(row(page, "idle-1")).to_contain_text("Stopped")
    expect(row(page, "kvm-b")).to_contain_text("Reporting")
    expect(page.locator("#fleet-summary")).to_contain_text("1 stopped")
    expect(page).to_have_title("Fleet · NovaCron")


def test_fleet_opens_from_another_page_too(ui: str, fleet: SampleFleet, visit: Open) -> None:
    page = visit(f"{ui}/collector").page
    page.get_by_role("link", name="Fleet").click()
    expect(row(page, "db-1")).to_be_visible()
    page.get_by_role("link", name="Operations").click()
    page.get_by_role("link", name="Fleet").click()
    expect(row(page, "db-1")).to_be_visible()


def test_numbers_move_without_a_reload(
    ui: str, fleet: SampleFleet, visit: Open, feed: LiveFeed
) -> None:
    page = visit(ui).page
    expect(row(page, HOSTILE)).to_contain_text("50.0 %")
    page.evaluate("window.sameDocument = true")
    wait_until(lambda: feed.subscribed("vm.network.io"))

    received = {"network.io.direction": "receive"}
    feed.push(
        ["vm.cpu.utilization", fleet.web, {}, now_ms(), 0.987],
        ["vm.network.io", fleet.web, received, now_ms() - 1000, 1_000_000],
        ["vm.network.io", fleet.web, received, now_ms(), 3_000_000],
        ["vm.state", fleet.db, {"vm.state": "paused"}, now_ms(), 1],
    )

    expect(row(page, HOSTILE)).to_contain_text("98.7 %")
    expect(row(page, HOSTILE)).to_contain_text("2.00 MB/s")
    expect(row(page, "db-1")).to_contain_text("Paused")
    assert page.evaluate("window.sameDocument")


def test_nothing_is_loaded_from_elsewhere_and_nothing_complains(
    ui: str, fleet: SampleFleet, visit: Open
) -> None:
    seen = visit(ui)
    expect(row(seen.page, "db-1")).to_be_visible()
    seen.page.get_by_role("link", name="db-1").click()
    expect(seen.page.locator(".uplot").first).to_be_visible()
    seen.page.wait_for_load_state("networkidle")

    assert {urlsplit(url).netloc for url in seen.requests} == {urlsplit(ui).netloc}
    assert seen.errors == []


def test_a_timer_of_a_page_that_was_left_asks_nobody(
    ui: str, fleet: SampleFleet, visit: Open
) -> None:
    seen = visit(ui)
    seen.page.get_by_role("link", name="db-1").click()
    expect(seen.page.locator(".uplot").first).to_be_visible()
    for store in ('"fleet-ask"', '{ type: "panel-ask", panel: "none" }'):
        seen.page.evaluate(f'import("/assets/asking.js").then(({{ ask }}) => ask({store}, 1))')

    assert seen.errors == []


def test_a_hostile_name_is_text(ui: str, fleet: SampleFleet, visit: Open) -> None:
    page = visit(ui).page
    expect(row(page, HOSTILE)).to_be_visible()
    page.get_by_role("link", name=HOSTILE).click()
    expect(page.get_by_role("heading", name=HOSTILE)).to_be_visible()

    expect(page).to_have_title(f"{HOSTILE} · NovaCron")
    assert page.locator("img, main script").count() == 0


@pytest.mark.parametrize("path", ["/", "/machine/{web}", "/machine/{host_a}"])
def test_a_phone_scrolls_in_one_direction(
    ui: str, fleet: SampleFleet, visit: Open, path: str
) -> None:
    url = ui + path.format(web=fleet.web, host_a=fleet.host_a)
    page = visit(url, width=390).page
    expect(page.locator("[data-ready]")).to_be_visible()

    assert page.evaluate("document.documentElement.scrollWidth") == 390


def test_the_theme_follows_the_system_until_somebody_chooses(
    ui: str, fleet: SampleFleet, visit: Open
) -> None:
    page = visit(ui, scheme="dark").page
    root = page.locator("html")
    expect(root).to_have_attribute("data-theme", "dark")

    page.get_by_role("button", name="Light or dark theme").click()
    expect(root).to_have_attribute("data-theme", "light")
    page.reload()
    expect(root).to_have_attribute("data-theme", "light")


def test_search_state_and_order_are_in_the_url(ui: str, fleet: SampleFleet, visit: Open) -> None:
    page = visit(ui).page
    expect(row(page, "db-1")).to_be_visible()
    page.keyboard.press("/")
    page.keyboard.type("DB-1")
    expect(row(page, HOSTILE)).to_have_count(0)
    page.get_by_role("button", name="Flat").click()
    page.get_by_role("columnheader", name="CPU").get_by_role("button").click()
    assert "q=DB-1" in page.url
    assert "sort=-cpu" in page.url

    page.reload()
    expect(row(page, "db-1")).to_be_visible()
    expect(page.locator(".rows .row:not([hidden])")).to_have_count(1)
    expect(page.get_by_role("columnheader", name="CPU")).to_have_attribute(
        "aria-sort", "descending"
    )
    page.get_by_role("button", name="Stopped").click()
    expect(page.locator(".nothing")).to_contain_text("No machine matches")


def test_a_machine_that_falls_silent_says_so(ui: str, fleet: SampleFleet, visit: Open) -> None:
    page = visit(ui).page
    expect(row(page, "db-1")).to_be_visible()
    page.clock.install()
    page.clock.fast_forward(60_000)

    expect(row(page, "db-1")).to_contain_text("Not reporting")
    expect(row(page, "db-1")).to_have_class(re.compile("stale"))


def test_the_pill_tells_when_the_live_feed_is_away_and_back(
    ui: str, fleet: SampleFleet, visit: Open, feed: LiveFeed
) -> None:
    page = visit(ui).page
    pill = page.locator("#live-pill")
    expect(pill).to_have_text("Live")
    feed.stop()
    expect(pill).to_have_text("Reconnecting")
    feed.start()
    expect(pill).to_have_text("Live", timeout=15_000)


def test_what_the_operator_should_do_is_on_top(
    ui: str, fleet: SampleFleet, visit: Open, feed: LiveFeed
) -> None:
    message = "The clock of kvm-b is 14 min ahead: check its time synchronisation"
    feed.notices.append({"severity": "warning", "message": message})
    try:
        expect(visit(ui).page.locator(".notice")).to_have_text(message)
    finally:
        feed.notices.clear()
