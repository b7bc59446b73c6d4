"""Logging in to the web UI and out again."""

from __future__ import annotations

import re
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Page, expect

from browser import Open
from fleet_samples import SampleFleet
from novacron_contract.access import Role
from novacron_store.state import Audit
from novacron_store.state.audit import Wanted
from novacron_ui.access.pages import own_path
from ui_collector import PASSWORD, UiCollector
from ui_world import World, novacron_ui

JSON = {"Content-Type": "application/json"}


def log_in(url: str, name: str = "ann", password: str = PASSWORD) -> httpx.Response:
    return httpx.post(f"{url}/api/login", json={"name": name, "password": password})


def fill_in(page: Page, name: str, password: str) -> None:
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(password)
    page.keyboard.press("Enter")


def test_a_session_is_in_a_cookie_that_no_script_reads(ordering: str) -> None:
    answer = log_in(ordering)
    cookie = answer.headers["Set-Cookie"]
    assert answer.json() == {"name": "ann"}
    assert re.match(r"novacron-session=nvs_[\w-]{43};", cookie)
    assert {"HttpOnly", "Path=/", "SameSite=strict"} == set(cookie.split("; ")[1:])


def test_behind_a_proxy_that_ends_tls_the_cookie_is_secure(ordering: str) -> None:
    body, headers = {"name": "ann", "password": PASSWORD}, {"X-Forwarded-Proto": "https"}
    answer = httpx.post(f"{ordering}/api/login", json=body, headers=headers)
    assert answer.headers["Set-Cookie"].startswith("__Host-novacron-session=nvs_")
    assert "Secure" in answer.headers["Set-Cookie"]


def test_who_is_logged_in_and_what_they_may_is_told(ordering: str) -> None:
    told = httpx.get(f"{ordering}/api/self", cookies=log_in(ordering).cookies).json()
    assert told == {
        "name": "ann",
        "logged_in": True,
        "grants": [{"role": "operator", "scope": "fleet"}],
        "permissions": ["read", "vm.power"],
    }
    assert httpx.get(f"{ordering}/api/self").json()["logged_in"] is False


@pytest.mark.parametrize(("name", "password"), [("ann", "wrong"), ("nobody", PASSWORD)])
def test_a_wrong_name_or_password_is_told_in_one_sentence(
    ordering: str, name: str, password: str
) -> None:
    answer = log_in(ordering, name, password)
    assert answer.status_code == 401
    assert answer.json()["message"] == "the name or the password is wrong"
    assert "Set-Cookie" not in answer.headers


def test_who_is_locked_out_is_told_for_how_long(ordering: str, orders: UiCollector) -> None:
    orders.add_user("lou", Role.VIEWER)
    for _ in range(5):
        log_in(ordering, "lou", "wrong")
    answer = log_in(ordering, "lou")
    assert answer.status_code == 429
    assert answer.json()["message"] == "too many wrong passwords: try again in 15 min"


def test_who_guesses_from_one_address_locks_out_nobody_elsewhere(
    ordering: str, orders: UiCollector
) -> None:
    def enter(password: str, browser: str) -> int:
        body = {"name": "lea", "password": password}
        headers = {"X-Forwarded-For": browser}  # as a proxy before the UI has it
        return httpx.post(f"{ordering}/api/login", json=body, headers=headers).status_code

    orders.add_user("lea", Role.VIEWER)
    assert [enter("wrong", "203.0.113.7") for _ in range(6)] == [401] * 5 + [429]
    assert enter(PASSWORD, "203.0.113.8") == 200
    rows = Audit(orders.world.state).rows(Wanted(action="session.create"))
    assert {row.source for row in rows if row.target == "user:lea"} >= {"203.0.113.8"}


def test_logging_out_ends_the_session_itself(ordering: str, orders: UiCollector) -> None:
    cookies = log_in(ordering).cookies
    bearer = {"Authorization": f"Bearer {cookies['novacron-session']}"}
    assert httpx.get(f"{orders.url}/v1/self", headers=bearer).status_code == 200

    answer = httpx.post(f"{ordering}/api/logout", json={}, cookies=cookies)

    assert answer.json() == {"ended": True}
    assert 'novacron-session=""' in answer.headers["Set-Cookie"]
    assert httpx.get(f"{orders.url}/v1/self", headers=bearer).status_code == 401
    assert httpx.get(f"{ordering}/api/self", cookies=cookies).status_code == 401


def test_logging_in_again_ends_the_session_before(ordering: str, orders: UiCollector) -> None:
    cookies = log_in(ordering).cookies
    body = {"name": "ann", "password": PASSWORD}
    httpx.post(f"{ordering}/api/login", json=body, cookies=cookies)
    bearer = {"Authorization": f"Bearer {cookies['novacron-session']}"}
    assert httpx.get(f"{orders.url}/v1/self", headers=bearer).status_code == 401


@pytest.mark.parametrize("path", ["/api/login", "/api/logout", "/api/operations"])
def test_another_sites_page_cannot_post(ordering: str, path: str) -> None:
    cookies = log_in(ordering).cookies
    headers = {**JSON, "Origin": "http://evil.example"}
    answer = httpx.post(f"{ordering}{path}", content="{}", headers=headers, cookies=cookies)
    assert answer.status_code == 403


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", ""])
def test_what_a_form_can_send_is_refused(ordering: str, kind: str) -> None:
    body = '{"name": "ann", "password": "x"}'
    answer = httpx.post(f"{ordering}/api/login", content=body, headers={"Content-Type": kind})
    assert answer.status_code == 400
    assert "application/json" in answer.json()["message"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"[]", 400),
        (b'{"name": "ann"}', 400),
        (b'{"name": "ann", "password": 1}', 400),
        (b'{"name": "ann", "password": "x", "next": "/"}', 400),
        (b"[" * 5000, 400),
        (b'"' + b"x" * 9000 + b'"', 413),
    ],
)
def test_a_body_that_is_no_login_is_refused(ordering: str, body: bytes, status: int) -> None:
    answer = httpx.post(f"{ordering}/api/login", content=body, headers=JSON)
    assert answer.status_code == status
    assert answer.json()["error"] in ("BadMessage", "TooLarge")


@pytest.mark.parametrize(
    ("asked", "then"),
    [
        ("/machine/web-1?range=6h", "/machine/web-1?range=6h"),
        ("/", "/"),
        ("//evil.example", "/"),
        ("/\\evil.example", "/"),
        ("/\t/evil.example", "/"),
        ("http://evil.example/", "/"),
        ("javascript:alert(1)", "/"),
        ("machine/web-1", "/"),
        ("/login?next=/login", "/"),
        ("/api/logout", "/"),
        ("/machine/ü", "/"),
        ("/" + "x" * 2000, "/"),
        ("", "/"),
    ],
)
def test_a_login_leads_to_our_own_pages_alone(asked: str, then: str) -> None:
    assert own_path(asked) == then


def test_no_log_has_a_password_or_a_session(
    world: World, orders: UiCollector, tmp_path: Path
) -> None:
    with novacron_ui(world, orders.url, tmp_path) as url:
        cookies = log_in(url).cookies
        log_in(url, "ann", "hunter2-wrong")
        httpx.get(f"{url}/?token={PASSWORD}", cookies=cookies)
        httpx.get(f"{url}/api/operations/x", cookies=cookies)
        httpx.post(f"{url}/api/logout", json={}, cookies=cookies)
        httpx.get(f"{url}/machine/x", cookies=cookies)
    log = (tmp_path / "log").read_text()
    assert "nvs_" not in log
    assert PASSWORD not in log
    assert "hunter2" not in log


@pytest.fixture
def asked_for(fleet: SampleFleet) -> str:
    return f"/machine/{fleet.db}?range=6h"


@pytest.mark.browser
def test_somebody_logs_in_by_keyboard_and_is_where_they_were(
    ordering: str, asked_for: str, visit: Open
) -> None:
    seen = visit(ordering + asked_for)
    page = seen.page
    page.get_by_role("link", name="Log in").click()
    page.wait_for_url("**/login?next=*")
    assert page.get_by_label("Password").get_attribute("autocomplete") == "current-password"
    assert page.get_by_label("Name").get_attribute("autocomplete") == "username"
    page.keyboard.type("ann")
    page.keyboard.press("Tab")
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")

    page.wait_for_url(ordering + asked_for)
    account = page.get_by_role("button", name="ann operator")
    expect(account).to_be_visible()
    assert "session" not in page.evaluate("document.cookie")

    account.click()
    page.get_by_role("menuitem", name="Log out").click()
    expect(page.get_by_role("link", name="Log in")).to_be_visible()
    assert page.url == ordering + asked_for
    assert seen.errors == []
    assert not any(PASSWORD in url or "nvs_" in url for url in seen.requests)


@pytest.mark.browser
def test_a_wrong_password_is_told_on_the_page(ordering: str, visit: Open) -> None:
    page = visit(f"{ordering}/login").page
    fill_in(page, "ann", "wrong")
    expect(page.get_by_role("alert")).to_have_text("The name or the password is wrong.")
    expect(page.get_by_label("Password")).to_be_focused()

    fill_in(page, "ann", PASSWORD)
    page.wait_for_url(f"{ordering}/")


@pytest.mark.browser
def test_a_link_from_elsewhere_leads_nowhere_else(ordering: str, visit: Open) -> None:
    page = visit(f"{ordering}/login?next=//evil.example/").page
    fill_in(page, "ann", PASSWORD)
    page.wait_for_url(f"{ordering}/")


@pytest.mark.browser
def test_logging_in_opens_the_page_that_was_asked_for(
    closed_ui: str, fleet: SampleFleet, visit: Open
) -> None:
    page = visit(f"{closed_ui}/machine/{fleet.db}").page
    expect(page.locator("#login-notice")).to_have_text("Log in to see this page.")
    fill_in(page, "ann", PASSWORD)
    expect(page.get_by_role("heading", name="db-1")).to_be_visible()
    expect(page.locator("#live-pill")).to_have_text("Live")


@pytest.mark.browser
def test_a_session_that_is_revoked_loses_the_page_within_seconds(
    closed_ui: str, closed: UiCollector, fleet: SampleFleet, visit: Open
) -> None:
    page = visit(f"{closed_ui}/login?next=/machine/{fleet.db}").page
    fill_in(page, "ann", PASSWORD)
    expect(page.locator("#live-pill")).to_have_text("Live")
    cookies = {str(each["name"]): str(each["value"]) for each in page.context.cookies()}

    end(closed, cookies["novacron-session"])

    notice = page.locator("#login-notice")
    expect(notice).to_have_text("Your session is over. Log in again to go on.", timeout=3000)
    assert page.url == f"{closed_ui}/machine/{fleet.db}"
    expect(page.get_by_role("heading", name="db-1")).to_have_count(0)


def end(collector: UiCollector, session: str) -> None:
    """As an administrator does, or the person elsewhere."""
    bearer = {"Authorization": f"Bearer {session}"}
    assert httpx.delete(f"{collector.url}/v1/sessions", headers=bearer).status_code == 200
