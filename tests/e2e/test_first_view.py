"""What a new user sees after `novacron up`: their machine, the lab, and numbers that move."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from browser import Open
from novacron_up import Up

LAB = str(Path(sys.executable).with_name("novacron-lab"))
LOADED_S = 90
pytestmark = [pytest.mark.lab, pytest.mark.browser, pytest.mark.timeout(300)]


def row(page: Page, name: str) -> Locator:
    link = page.get_by_role("link", name=name, exact=True)
    return page.locator(".row").filter(has=link)


def cpu(page: Page, name: str) -> float:
    """Percent, as the page shows it."""
    text = row(page, name).locator(".cell-cpu").inner_text()
    found = re.search(r"([\d.]+) %", text)
    assert found, f"{name} shows no CPU: {text!r}"
    return float(found[1])


def highest(page: Page, name: str, seconds: float, enough: float = 101) -> float:
    """What the page shows at most within `seconds`; at once when it is `enough`."""
    deadline, most = time.monotonic() + seconds, 0.0
    while time.monotonic() < deadline and most < enough:
        most = max(most, cpu(page, name))
        time.sleep(0.5)
    return most


def test_a_guest_is_seen_to_work_when_load_starts_in_it(
    start_up: Callable[..., Up], visit: Open
) -> None:
    up = start_up("--libvirt", "qemu+unix:///system?socket=/nowhere")
    up.wait_for(lambda: "NovaCron runs: http://127.0.0.1:" in up.output, timeout=120)
    visited = visit(f"http://127.0.0.1:{8050 + up.offset}/")
    page = visited.page
    for guest in ("web-1", "cache-1", "db-1", "batch-1"):
        expect(row(page, guest)).to_contain_text("Running", timeout=60_000)
        expect(row(page, guest).locator(".cell-cpu")).to_contain_text("%", timeout=60_000)
    page.evaluate("window.stillTheSamePage = true")
    at_rest = highest(page, "web-1", seconds=25)

    folder = str(up.folder / "lab")
    load = [LAB, "load", "web-1", "--seconds", str(LOADED_S), "--dir", folder]
    subprocess.run(load, check=True, capture_output=True)

    wanted = max(2 * at_rest, at_rest + 15)
    assert highest(page, "web-1", LOADED_S, enough=wanted) >= wanted
    assert page.evaluate("window.stillTheSamePage"), "the page was loaded again"
    assert visited.errors == []
    assert all(
        url.startswith((page.url, f"ws://127.0.0.1:{8050 + up.offset}/")) or url.startswith("data:")
        for url in visited.requests
    )
