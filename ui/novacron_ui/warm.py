"""The server is its own first visitor, so that nobody else waits for what is done only once.

Dash sets itself up at its first request, and Fleet's numbers take longer to read than the rest of
the page to load; on a small machine the reading also takes the processor from the browser.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from importlib import import_module

from flask import Flask

from novacron_ui.query.shared import Shared

READY_WITHIN_S = 0.5  # a store that is away or slow delays the start no longer than that
RENEW_EVERY_S, RENEW_AFTER_S = 20.0, 35.0  # together less than a page's first numbers may be old
WANTED_S = 600.0  # after the start, and after the last visit: then nothing is asked


def load_libraries() -> None:
    """Before anybody comes. The store's client imports pandas with its first answer, in a thread of
    its own; Dash looks into it for every answer it writes, and fails on a half of it."""
    with suppress(ImportError):
        import_module("pandas")


async def visit(server: Flask) -> None:
    """Open Fleet as a browser does."""
    opened = asyncio.create_task(asyncio.to_thread(_open_fleet, server))
    await asyncio.wait([opened], timeout=READY_WITHIN_S)


async def keep_ready(fleet: Shared[str]) -> None:
    while True:
        await asyncio.sleep(RENEW_EVERY_S)
        fleet.renew(RENEW_AFTER_S, WANTED_S)


def _open_fleet(server: Flask) -> None:
    browser = server.test_client()
    browser.get("/")
    browser.get("/_dash-layout", headers={"Referer": "http://localhost/"})
