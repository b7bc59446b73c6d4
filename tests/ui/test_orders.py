"""Ordering something of VMs in a real browser: buttons, dialogs, progress, and who may not."""

from __future__ import annotations

import re

import httpx
import pytest
from playwright.sync_api import Locator, Page, expect

from browser import HOSTILE, Open, Visit
from fleet_samples import SampleFleet
from free_ports import free_port
from live_feed import now_ms, wait_until
from novacron_contract.access import Role
from novacron_contract.commands import State
from ui_collector import PASSWORD, UiCollector
from ui_world import Settings, World, novacron_ui

pytestmark = pytest.mark.browser


@pytest.fixture(autouse=True)
def nothing_ordered(orders: UiCollector) -> None:
    for kept in (orders.operations, orders.commands, orders.asked, orders.keys, orders.problems):
        kept.clear()


def log_in(visit: Open, url: str, path: str, name: str = "ann", width: int = 1440) -> Visit:
    seen = visit(f"{url}/login?next={path}", width=width)
    seen.page.get_by_label("Name").fill(name)
    seen.page.get_by_label("Password").fill(PASSWORD)
    seen.page.keyboard.press("Enter")
    seen.page.wait_for_url(url + path)
    expect(seen.page.locator("[data-ready]")).to_be_visible()
    return seen


def runs(orders: UiCollector, vm: str, state: str = "running") -> None:
    """The VM says so, live: it is not silent."""
    wait_until(lambda: orders.subscribed("vm.state"))
    orders.push(["vm.state", vm, {"vm.state": state}, now_ms(), 1])


def actions(page: Page) -> Locator:
    return page.locator("#machine-actions")


def open_stop(page: Page) -> Locator:
    actions(page).get_by_role("button", name="Stop").click()
    return page.get_by_role("dialog", name="Stop this VM?")


def ordered(page: Page, orders: UiCollector) -> Locator:
    """Stop it, as the dialog proposes."""
    open_stop(page).get_by_role("button", name="Stop", exact=True).click()
    wait_until(lambda: orders.asked)
    line = page.locator(".order")
    expect(line).to_contain_text("Stop")
    return line


@pytest.mark.parametrize("name", ["vic", ""])
def test_who_may_only_look_has_no_buttons_and_no_room_for_them(
    ordering: str, orders: UiCollector, fleet: SampleFleet, visit: Open, name: str
) -> None:
    path = f"/machine/{fleet.db}"
    page = (log_in(visit, ordering, path, name) if name else visit(ordering + path)).page
    runs(orders, fleet.db)
    expect(page.locator("#machine-state")).to_contain_text("Running")
    expect(actions(page).locator("*")).to_have_count(0)
    assert actions(page).bounding_box() is None

    page.get_by_role("link", name="Fleet").first.click()
    expect(page.get_by_role("link", name="db-1")).to_be_visible()
    expect(page.locator("input[type=checkbox]:visible")).to_have_count(0)


@pytest.mark.parametrize(("name", "status"), [("vic", 403), ("", 401)])
def test_a_forged_order_is_refused(
    ordering: str, orders: UiCollector, fleet: SampleFleet, name: str, status: int
) -> None:
    login = {"name": name, "password": PASSWORD}
    cookies = httpx.post(f"{ordering}/api/login", json=login).cookies if name else None
    body = {"verb": "stop", "targets": {"vms": [fleet.db]}}
    answer = httpx.post(f"{ordering}/api/operations", json=body, cookies=cookies)
    assert answer.status_code == status
    assert not orders.operations


def test_a_vm_is_stopped_and_its_progress_is_told(
    ordering: str, orders: UiCollector, fleet: SampleFleet, visit: Open
) -> None:
    seen = log_in(visit, ordering, f"/machine/{fleet.db}")
    page = seen.page
    runs(orders, fleet.db)
    dialog = open_stop(page)
    dialog.get_by_role("spinbutton").fill("30")
    dialog.get_by_label("Reason").fill("new disks")
    dialog.get_by_role("button", name="Stop", exact=True).click()
    line = page.locator(".order")
    expect(line).to_contain_text("Stop queued · waits until its agent asks · by ann: new disks")
    assert orders.asked == [
        {
            "verb": "stop",
            "arguments": {"force": "after-grace", "grace_s": 30},
            "targets": {"vms": [fleet.db]},
            "reason": "new disks",
        }
    ]

    orders.report(fleet.db, State.RUNNING, share=0.4, text="waiting for the guest")
    expect(line).to_contain_text("Stopping · waiting for the guest")
    expect(actions(page)).to_contain_text("Stopping 40 %")
    expect(actions(page).get_by_role("button", name="Stop")).to_have_count(0)

    orders.report(fleet.db, State.SUCCEEDED, text="")
    runs(orders, fleet.db, "stopped")
    expect(line).to_contain_text("Stopped")
    expect(actions(page).get_by_role("button", name="Start")).to_be_visible()
    line.get_by_role("button", name="Put away").click()
    expect(line).to_have_count(0)
    assert seen.errors == []


def test_an_error_is_told_in_its_own_words(
    ordering: str, orders: UiCollector, fleet: SampleFleet, visit: Open
) -> None:
    page = log_in(visit, ordering, f"/machine/{fleet.db}").page
    runs(orders, fleet.db)
    line = ordered(page, orders)
    orders.report(fleet.db, State.FAILED, error="the guest was still on after 120 s")
    expect(line).to_contain_text("Stop failed · the guest was still on after 120 s")
    expect(line).to_have_attribute("data-tone", "bad")
    expect(line.get_by_role("button", name="Cancel")).to_be_hidden()


def test_progress_survives_a_reload_and_shows_what_others_ordered(
    ordering: str, orders: UiCollector, fleet: SampleFleet, visit: Open
) -> None:
    page = log_in(visit, ordering, f"/machine/{fleet.db}").page
    runs(orders, fleet.db)
    ordered(page, orders)
    page.reload()
    expect(page.locator(".order")).to_contain_text("Stop queued")

    other = visit(f"{ordering}/machine/{fleet.db}").page
    expect(other.locator(".order")).to_contain_text("by ann")
    orders.report(fleet.db, State.RUNNING, share=None, text="")
    expect(page.locator(".order")).to_contain_text("Stopping")
    expect(other.locator(".order")).to_contain_text("Stopping")
    expect(other.locator(".order").get_by_role("button", name="Cancel")).to_be_hidden()


def test_progress_picks_up_when_the_ui_comes_back(
    world: World,
    orders: UiCollector,
    fleet: SampleFleet,
    visit: Open,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    fixed = Settings(port=free_port())
    folders = [tmp_path_factory.mktemp("ui") for _ in range(2)]
    with novacron_ui(world, orders.url, folders[0], fixed) as url:
        page = log_in(visit, url, f"/machine/{fleet.db}").page
        runs(orders, fleet.db)
        line = ordered(page, orders)
        wait_until(lambda: orders.held == 1)
    expect(line).to_contain_text("The web UI's server does not answer")
    with novacron_ui(world, orders.url, folders[1], fixed):
        # Long before a request that waits for a change ends by itself.
        expect(line).not_to_contain_text("does not answer", timeout=15_000)
        orders.report(fleet.db, State.SUCCEEDED, text="")
        expect(line).to_contain_text("Stopped")


def test_what_may_lose_data_is_typed_by_hand(
    ordering: str, orders: UiCollector, fleet: SampleFleet, visit: Open
) -> None:
    page = log_in(visit, ordering, f"/machine/{fleet.db}").page
    runs(orders, fleet.db)
    dialog = open_stop(page)
    go = dialog.get_by_role("button", name="Stop", exact=True)
    dialog.get_by_label("Take the power away now").check()
    expect(go).to_be_disabled()
    dialog.get_by_label("To confirm").fill("db-2")
    expect(go).to_be_disabled()
    dialog.get_by_label("To confirm").fill("db-1")
    go.click()
    wait_until(lambda: orders.asked)
    assert orders.asked[0]["confirm"] == "db-1"
    assert orders.asked[0]["arguments"] == {"force": "now"}


def test_a_vm_is_deleted_once_its_name_is_typed(
    ordering: str, orders: UiCollector, fleet: SampleFleet, visit: Open
) -> None:
    orders.add_user("max", Role.VM_ADMIN)
    page = log_in(visit, ordering, f"/machine/{fleet.db}", name="max").page
    runs(orders, fleet.db)
    actions(page).get_by_role("button", name="More actions").click()
    page.get_by_role("menuitem", name="Delete").click()
    dialog = page.get_by_role("dialog", name="Delete this VM?")
    go = dialog.get_by_role("button", name="Delete", exact=True)
    expect(go).to_be_disabled()
    dialog.get_by_label("Leave the disks").check()
    dialog.get_by_label("To confirm").fill("db-1")
    go.click()
    wait_until(lambda: orders.asked)
    assert (orders.asked[0]["verb"], orders.asked[0]["confirm"]) == ("delete", "db-1")
    assert orders.asked[0]["arguments"] == {"keep_volumes": True, "force": False}
    expect(page.locator(".order")).to_contain_text("Delete")


def test_a_vm_that_is_off_is_renamed_and_one_that_runs_resized(
    ordering: str, orders: UiCollector, fleet: SampleFleet, visit: Open
) -> None:
    orders.add_user("mia", Role.VM_ADMIN)
    page = log_in(visit, ordering, f"/machine/{fleet.db}", name="mia").page
    runs(orders, fleet.db, "stopped")
    actions(page).get_by_role("button", name="Rename").click()
    dialog = page.get_by_role("dialog", name="Rename this VM?")
    dialog.get_by_role("button", name="Rename", exact=True).click()
    assert not orders.asked, "a name is required"
    dialog.get_by_label("New name").fill("db-2")
    dialog.get_by_role("button", name="Rename", exact=True).click()
    wait_until(lambda: orders.asked)
    assert orders.asked[0]["arguments"] == {"new_name": "db-2"}

    orders.report(fleet.db, State.SUCCEEDED, text="was 'db-1'")
    runs(orders, fleet.db)
    actions(page).get_by_role("button", name="More actions").click()
    page.get_by_role("menuitem", name="Resize").click()
    dialog = page.get_by_role("dialog", name="Resize this VM?")
    dialog.get_by_label("CPUs").fill("4")
    dialog.get_by_role("button", name="Resize", exact=True).click()
    wait_until(lambda: len(orders.asked) == 2)
    assert orders.asked[1]["arguments"] == {"vcpus": 4, "memory_mib": 0, "live": False}


def test_a_dialog_is_left_by_escape_and_nothing_is_ordered(
    ordering: str, orders: UiCollector, fleet: SampleFleet, visit: Open
) -> None:
    page = log_in(visit, ordering, f"/machine/{fleet.db}").page
    runs(orders, fleet.db)
    dialog = open_stop(page)
    expect(dialog.get_by_role("button", name="Stop", exact=True)).to_be_focused()
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    more = page.get_by_role("button", name="More actions")
    more.focus()
    page.keyboard.press("ArrowDown")
    expect(page.get_by_role("menuitem").first).to_be_focused()
    page.keyboard.press("Escape")
    expect(more).to_be_focused()
    assert not orders.asked


def test_a_hostile_name_is_text_wherever_something_is_ordered(
    ordering: str, orders: UiCollector, fleet: SampleFleet, visit: Open
) -> None:
    seen = log_in(visit, ordering, f"/machine/{fleet.web}", "root")
    page = seen.page
    runs(orders, fleet.web)
    expect(open_stop(page)).to_contain_text(HOSTILE)
    page.keyboard.press("Escape")
    line = ordered(page, orders)
    hostile = f"{HOSTILE}: {HOSTILE}"
    orders.report(fleet.web, State.FAILED, error=hostile, text=hostile)
    expect(line).to_contain_text(hostile)
    line.get_by_role("link", name="Details").click()
    results = page.get_by_role("table", name="VMs")
    expect(results.get_by_role("link", name=HOSTILE)).to_be_visible()
    expect(results).to_contain_text(hostile)
    page.get_by_role("link", name="Fleet").first.click()
    page.get_by_label(f"Select {HOSTILE}").check()
    page.locator(".selection").get_by_role("button", name="Reboot").click()
    expect(page.get_by_role("dialog")).to_contain_text("Reboot 1 VM")

    assert page.locator("img, main script").count() == 0
    assert "pwned" not in page.title()
    assert seen.errors == []


def test_many_are_ordered_after_a_plan_and_each_result_is_told(
    ordering: str, orders: UiCollector, fleet: SampleFleet, visit: Open
) -> None:
    orders.problems[fleet.web] = f"{HOSTILE}: no agent of its host takes commands"
    page = log_in(visit, ordering, "/").page
    page.get_by_label("Select all 3 VMs that match").check()
    expect(page.locator(".selection-count")).to_have_text("3 VMs selected")
    page.get_by_role("button", name="More actions").click()
    page.get_by_role("menuitem", name="Reset").click()

    dialog = page.get_by_role("dialog", name="Reset 3 VMs?")
    expect(dialog).to_contain_text("Reset 1 VM")
    expect(dialog).to_contain_text("1 VM left out: not in a state for it")
    expect(dialog).to_contain_text("no agent of its host takes commands")
    go = dialog.get_by_role("button", name="Reset 1 VM")
    expect(go).to_be_disabled()
    dialog.get_by_label("To confirm").fill("db-1")
    go.click()
    line = page.locator("#fleet-orders .order")
    expect(line).to_contain_text("Reset 1 VM")
    assert orders.asked[0]["targets"] == {"vms": [fleet.db]}
    expect(page.locator(".selection")).to_have_count(0)

    page.reload()
    expect(line).to_contain_text("Reset 1 VM")
    orders.report(fleet.db, State.SUCCEEDED, text="")
    expect(line).to_contain_text("done")


def test_an_operation_has_a_page_and_is_cancelled_there(
    ordering: str, orders: UiCollector, fleet: SampleFleet, visit: Open
) -> None:
    page = log_in(visit, ordering, "/").page
    page.get_by_label("Select db-1").check()
    page.get_by_label("Select idle-1").check()
    orders.states[fleet.idle] = "running"
    page.locator(".selection").get_by_role("button", name="Stop").click()
    page.get_by_role("button", name="Stop 2 VMs").click()
    page.get_by_role("link", name="Details").click()
    page.wait_for_url(re.compile("/operations/[0-9a-f-]{36}$"))
    results = page.get_by_role("table", name="VMs")
    expect(results.get_by_role("row")).to_have_count(2)
    orders.report(fleet.db, State.SUCCEEDED, text="")
    expect(page.get_by_role("region", name="State")).to_contain_text("1 of 2")

    page.get_by_role("button", name="Cancel").click()
    expect(results).to_contain_text("Cancelled")
    page.get_by_role("link", name="Operations").last.click()
    expect(page.get_by_role("table", name="Operations")).to_contain_text("Stop 2 VMs")
    expect(page.get_by_role("table", name="Operations")).to_contain_text("Cancelled")
    orders.states[fleet.idle] = "stopped"


def test_without_operations_their_page_says_what_will_be_there(ordering: str, visit: Open) -> None:
    page = visit(f"{ordering}/operations").page
    expect(page.get_by_role("status").last).to_contain_text("Nothing was ordered yet")
    page.goto(f"{ordering}/operations/nobody")
    expect(page.get_by_text("This operation cannot be shown")).to_be_visible()


def test_nobody_is_asked_any_more_when_a_page_is_left(
    ordering: str, orders: UiCollector, fleet: SampleFleet, visit: Open
) -> None:
    page = log_in(visit, ordering, f"/machine/{fleet.db}").page
    runs(orders, fleet.db)
    ordered(page, orders)
    wait_until(lambda: orders.held == 1)
    page.goto("about:blank")
    wait_until(lambda: orders.held == 0, 10)  # long before a held request ends by itself


@pytest.mark.parametrize("path", ["/login", "/operations", "/machine/{db}"])
def test_a_phone_scrolls_these_pages_in_one_direction(
    ordering: str, orders: UiCollector, fleet: SampleFleet, visit: Open, path: str
) -> None:
    page = log_in(visit, ordering, f"/machine/{fleet.db}", width=390).page
    runs(orders, fleet.db)
    ordered(page, orders)
    page.goto(ordering + path.format(db=fleet.db))
    expect(page.locator("#login, [data-ready]")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") == 390
