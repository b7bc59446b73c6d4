"""What a Machine page says of how the machine is measured, in a real browser."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, Route, expect

from agent_samples import ANSWERS, HANGS, MeasuredHost, measured_host
from browser import HOSTILE, Open
from fleet_samples import SampleFleet
from live_feed import LiveFeed, now_ms, wait_until
from novacron_store.state import Agent, Agents, Host
from ui_world import World

pytestmark = pytest.mark.browser

ANSWERING = "libvirt.monitor.responding"


@pytest.fixture(scope="module")
def host(world: World) -> MeasuredHost:
    client = world.client()
    made = measured_host(
        client, world.inventory, Agents(world.state), hung_name=HOSTILE, interval_s=600
    )
    client.close()
    return made


def section(page: Page) -> Locator:
    return page.locator("#machine-agent")


def notices(page: Page) -> Locator:
    return page.locator("#machine-notices .notice")


def test_the_agent_is_a_line_that_opens(ui: str, host: MeasuredHost, visit: Open) -> None:
    visited = visit(f"{ui}/machine/{host.id}")
    page = visited.page
    expect(section(page)).to_contain_text("1 problem")
    expect(section(page)).to_contain_text("3.0 % CPU · 64.0 MiB · scrapes in 250 ms")
    expect(page.get_by_role("region", name="Memory of the agent")).not_to_be_visible()

    section(page).get_by_role("heading", name="Agent").click()

    sources = section(page).get_by_role("table", name="Sources")
    expect(sources.get_by_role("row", name="kvm")).to_contain_text("250 ms7")
    there = section(page).get_by_role("table", name="Destinations").get_by_role("row").last
    expect(there).to_contain_text("collector150 points/snothing")
    expect(there.locator("[data-tone=warn]")).to_have_text("4.80 k")
    expect(section(page)).to_contain_text("Version0.1.0")
    memory = page.get_by_role("region", name="Memory of the agent")
    memory.scroll_into_view_if_needed()  # it asks for its lines when it is on the screen
    expect(memory.locator(".legend-value")).to_have_text("64.0 MiB")
    assert "agent=open" in page.url
    assert visited.errors == []


def test_guests_that_do_not_answer_are_linked_and_say_so_themselves(
    ui: str, host: MeasuredHost, visit: Open, feed: LiveFeed
) -> None:
    visited = visit(f"{ui}/machine/{host.id}")
    page = visited.page
    expect(notices(page)).to_contain_text("The monitor of one guest does not answer")
    link = notices(page).get_by_role("link")
    expect(link).to_have_text(HOSTILE)
    link.click()

    page.wait_for_url(f"**/machine/{host.hung}")
    expect(notices(page)).to_contain_text("QEMU's monitor has not answered since")
    wait_until(lambda: feed.subscribed(ANSWERING))
    feed.push([ANSWERING, host.hung, {}, now_ms(), ANSWERS])
    expect(notices(page)).to_have_count(0)
    feed.push([ANSWERING, host.hung, {}, now_ms() + 1, HANGS])
    expect(notices(page)).to_have_count(1)
    assert visited.errors == []


def test_what_was_lost_is_shaded_and_named(ui: str, host: MeasuredHost, visit: Open) -> None:
    page = visit(f"{ui}/machine/{host.id}").page
    expect(page.locator("#machine-lost")).to_contain_text("(4,800 points, spool full)")
    load = page.get_by_role("region", name="Load average", exact=True)
    expect(load.locator(".legend-gap")).to_have_text("lost by the agent")

    over = load.locator(".u-over")
    over.hover(position=at(over, (60 - 25) / 60))

    expect(load.locator(".legend-gap")).to_contain_text(", spool full")
    assert shade(load, (60 - 25) / 60) > 0
    assert shade(load, (60 - 15) / 60) == 0
    page.get_by_role("button", name="15m", exact=True).click()
    expect(page.locator("#machine-lost")).to_be_empty()
    expect(load.locator(".legend-gap")).not_to_be_visible()


def test_losses_of_another_range_do_not_stay_where_the_new_one_cannot_be_asked(
    ui: str, host: MeasuredHost, visit: Open
) -> None:
    page = visit(f"{ui}/machine/{host.id}?agent=open").page
    expect(page.locator("#machine-lost")).to_contain_text("4,800 points")
    page.route("**/_dash-update-component*", refuse_monitoring)

    page.get_by_role("button", name="6h", exact=True).click()

    expect(page.locator("#machine-lost")).to_be_empty()
    expect(section(page)).not_to_contain_text("Lost by the agent")
    expect(section(page)).to_contain_text("Version0.1.0")


def test_a_range_longer_than_samples_are_kept_says_since_when_losses_are_known(
    ui: str, host: MeasuredHost, visit: Open
) -> None:
    page = visit(f"{ui}/machine/{host.id}?agent=open&range=30d").page
    expect(section(page)).to_contain_text("is no longer known")
    expect(section(page)).to_contain_text("4,800 points, spool full")


def refuse_monitoring(route: Route) -> None:
    """As the server answers where its store does not."""
    asked: Any = route.request.post_data_json
    if asked["output"] != "monitoring-data.data":
        route.continue_()
        return
    answer = {"error": {"title": "no store"}, "asked": asked["inputs"][0]["value"]}
    route.fulfill(json={"multi": True, "response": {"monitoring-data": {"data": answer}}})


def at(over: Locator, share: float) -> Any:
    box = over.bounding_box()
    assert box is not None
    return {"x": box["width"] * share, "y": 5}


def shade(panel: Locator, share: float) -> int:
    """How much is drawn near the top of a chart, above its lines: 0 to 255."""
    script = """(canvas, share) => {
        const over = canvas.parentNode.querySelector(".u-over");
        const [left, width] = [over.offsetLeft, over.offsetWidth].map((n) => n * devicePixelRatio);
        const x = Math.round(left + width * share), y = (over.offsetTop + 4) * devicePixelRatio;
        return canvas.getContext("2d").getImageData(x, y, 1, 1).data[3];
    }"""
    return int(panel.locator("canvas").evaluate(script, share))


def test_a_host_of_another_sender_has_a_quiet_sentence(
    world: World, ui: str, host: MeasuredHost, fleet: SampleFleet, visit: Open
) -> None:
    world.inventory.see_hosts([Host("plain", "plain", host.now, host.now)])
    visited = visit(f"{ui}/machine/plain")
    expect(section(visited.page)).to_have_text(
        "No agent of NovaCron reports this host: its values come from another sender."
    )
    expect(visited.page.locator("#machine[data-measured]")).to_be_attached()
    assert visited.errors == []


def test_an_agent_that_tells_nothing_of_itself_is_no_error(
    world: World, ui: str, visit: Open
) -> None:
    client = world.client()
    agents = Agents(world.state)
    quiet = measured_host(client, world.inventory, agents, tells=False, interval_s=600)
    client.close()
    page = visit(f"{ui}/machine/{quiet.id}?agent=open").page
    expect(section(page)).to_contain_text("The agent tells nothing of itself here")
    expect(page.locator("#agent-empty")).to_contain_text("Memory of the agent")


def test_an_agent_that_was_installed_anew_takes_the_place_of_the_old_one(
    world: World, ui: str, visit: Open
) -> None:
    client = world.client()
    anew = measured_host(client, world.inventory, Agents(world.state), interval_s=600)
    page = visit(f"{ui}/machine/{anew.id}?agent=open").page
    expect(section(page)).to_contain_text("Version0.1.0")
    agent = Agent("anew-" + anew.id, anew.id, "0.2.0", 600, 0.0, datetime.now(UTC))
    Agents(world.state).see(agent)
    page.get_by_role("button", name="15m", exact=True).click()
    expect(section(page)).to_contain_text("Version0.2.0")
    expect(section(page)).to_contain_text("The agent tells nothing of itself here")
    client.close()


@pytest.mark.parametrize("width", [390, 1440])
def test_nothing_is_wider_than_the_screen(
    ui: str, host: MeasuredHost, visit: Open, width: int
) -> None:
    page = visit(f"{ui}/machine/{host.id}?agent=open", width=width, scheme="dark").page
    expect(section(page)).to_contain_text("Lost by the agent in this range")
    assert page.evaluate("document.documentElement.scrollWidth") == width


SOURCE = {"name": "kvm", "failing": 0}
DESTINATION = {"name": "there", "batches": 0, "age": 0, "failing": 0, "losing": 0, "refusing": 0}


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"seen": 9e5}, ["The agent was last heard of 1 min ago"]),
        ({"clock": -200, "clockIsWrong": True}, ["The host's clock is 3 min behind"]),
        ({"sources": [{**SOURCE, "failing": 0.1}]}, ["Scrapes of kvm fail"]),
        (
            {"destinations": [{**DESTINATION, "batches": 12, "age": 300, "failing": 0.2}]},
            ["12 batches wait to be sent to there, the oldest for 5 min"],
        ),
        (
            {"destinations": [{**DESTINATION, "losing": 5, "refusing": 2}]},
            ["Points for there are lost: 5.00/s", "there refuses points: 2.00/s"],
        ),
        ({"sources": [{"name": "kvm", "failing": None}]}, []),
        ({}, []),
    ],
)
def test_every_problem_has_its_words(
    ui: str, visit: Open, changed: dict[str, Any], says: list[str]
) -> None:
    usual: dict[str, Any] = {"seen": 1e6, "staleAfter": 30_000, "clock": 0, "clockIsWrong": False}
    script = """async (agent) => {
        const { problems } = await import("/assets/agent_state.js");
        return problems(agent, 1e6).map(([fact]) => fact);
    }"""
    agent = {**usual, "sources": [SOURCE], "destinations": [DESTINATION], **changed}

    assert visit(ui).page.evaluate(script, agent) == says
