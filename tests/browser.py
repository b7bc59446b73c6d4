"""Fixtures: Chromium, and a page in it with all that went wrong or out while it was open."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal, Protocol

import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    Request,
    expect,
    sync_playwright,
)

HOSTILE = '<script>document.title="pwned"</script><img src=x onerror=alert(1)>'
_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


expect.set_options(timeout=20_000)  # what is awaited comes at once, unless the machine is busy


@dataclass
class Visit:
    """A page in the browser, and what went wrong or out while it was open."""

    page: Page
    errors: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def watch(self) -> None:
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self.errors.append(error.stack or str(error)))
        self.page.on("request", self._request)

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.errors.append(f"{message.text} ({message.location['url']})")

    def _request(self, request: Request) -> None:
        self.requests.append(request.url)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """Not for the whole session: while it is open an event loop runs in this thread."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=_FLAGS)
        yield browser
        browser.close()


class Open(Protocol):
    def __call__(
        self, url: str, *, width: int = 1440, scheme: Literal["light", "dark"] = "light"
    ) -> Visit: ...


@pytest.fixture
def visit(chromium: Browser) -> Iterator[Open]:
    """Open a URL in a fresh browser profile."""
    contexts: list[BrowserContext] = []

    def open_page(
        url: str, *, width: int = 1440, scheme: Literal["light", "dark"] = "light"
    ) -> Visit:
        context = chromium.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme
        )
        contexts.append(context)
        opened = Visit(context.new_page())
        opened.watch()
        opened.page.goto(url)
        return opened

    yield open_page
    for context in contexts:
        context.close()
