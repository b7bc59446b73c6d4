"""How soon Fleet can be used with 2,000 VMs, against an empty Dash page in the same browser.

Run it as `make bench-fleet`. Real novacron-store and novacron-ui processes, 2,000 VMs x 25 series
x 6 hours; Chromium without a cache opens both pages in turn. A page is usable when its content is
on the screen: for Fleet, rows with their numbers. BENCH_VMS takes a smaller fleet.

The first visits are each to a server that has just started, as soon as its /healthz answers and
before it was asked for anything else: `fleet_first_visit_ratio` compares a new novacron-ui with a
new empty server, `fleet_first_visit_to_warm_ratio` with one that has answered before. Every figure
is the median of its rounds; the promise is that `ratio` and `fleet_first_visit_ratio` stay below
`budget_ratio`.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import cast

import uvicorn
from a2wsgi import WSGIMiddleware
from dash import Dash, html
from playwright.sync_api import Browser, sync_playwright
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Mount, Route
from starlette.types import ASGIApp

from novacron_store.state import Host, Inventory, Vm, migrate, open_state
from novacron_store.telemetry import migrations
from novacron_store.telemetry.client import connect
from panels import fill, settle
from report import report

BUDGET_RATIO = 2.0
ROUNDS = 9
STARTS = 5
VMS_PER_HOST = 100
CHROMIUM = "/usr/bin/chromium"
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
# A promise of the time when the page has what it looks for and the browser has drawn it.
_WATCH = """
window.usable = new Promise((resolve) => {
  const drawn = () => requestAnimationFrame(() => resolve(performance.now()));
  const look = () => (%s) && (watch.disconnect(), requestAnimationFrame(drawn));
  const watch = new MutationObserver(look);
  watch.observe(document, { subtree: true, childList: true, characterData: true });
});
"""
FLEET_READY = "document.querySelectorAll('.rows .row .cell-cpu .number').length > 9"
EMPTY_READY = "document.getElementById('empty')"


def load(folder: Path, vms: int) -> str:
    """Fill the telemetry store and the inventory; the URL of the latter."""
    at = int(time.time())
    client = connect(f"chdb://{folder}/data")
    migrations.migrate(client)
    fill(client, vms, at)
    settle(client)
    client.close()
    url = f"sqlite:///{folder}/state.db"
    engine = open_state(url)
    migrate(engine)
    now = datetime.fromtimestamp(at, UTC)
    first = now - timedelta(hours=6)
    hosts = [f"host-{n:03d}" for n in range((vms - 1) // VMS_PER_HOST + 1)]
    inventory = Inventory(engine)
    inventory.see_hosts(Host(host, host, first, now) for host in hosts)
    inventory.see_vms(
        Vm(f"vm-{n:05d}", f"web-{n:05d}", hosts[n // VMS_PER_HOST], first, now) for n in range(vms)
    )
    engine.dispose()
    return url


@contextmanager
def process(command: list[str], url: str) -> Iterator[None]:
    """Run a server until the block ends; the block begins when `url` answers."""
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as server:
        try:
            _wait(url, server)
            yield
        finally:
            server.terminate()


def _wait(url: str, server: subprocess.Popen[bytes]) -> None:
    for _ in range(600):
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError:
            if server.poll() is not None:
                break
            time.sleep(0.1)
    raise SystemExit(f"nothing answers at {url}")


@contextmanager
def store(folder: Path) -> Iterator[str]:
    """novacron-store on what was loaded; its URL."""
    port = _free_port()
    (folder / "password").write_text("bench")
    (folder / "store.toml").write_text(
        f'[store]\npath = "{folder}/data"\nlisten = "127.0.0.1:{port}"\n'
        f'service_password_file = "{folder}/password"\nreader_password_file = "{folder}/password"\n'
    )
    url = f"http://127.0.0.1:{port}"
    with process(_program("store", folder), f"{url}/ping"):
        yield url


@contextmanager
def fleet_page(folder: Path, state: str, telemetry: str, collector: str) -> Iterator[str]:
    """A new novacron-ui; the URL of Fleet, which anybody may read."""
    port = _free_port()
    (folder / "ui.toml").write_text(
        f'[ui]\nlisten = "127.0.0.1:{port}"\n[state]\nurl = "{state}"\n'
        f'[telemetry]\nurl = "{telemetry}"\npassword_file = "{folder}/password"\n'
        f'[collector]\nurl = "{collector}"\n'
    )
    url = f"http://127.0.0.1:{port}/"
    with process(_program("ui", folder), f"{url}healthz"):
        yield url


@contextmanager
def collector() -> Iterator[str]:
    """What stands in for the collector: it lets everybody read. Its URL."""
    port = _free_port()
    url = f"http://127.0.0.1:{port}"
    with process([sys.executable, __file__, "serve-collector", str(port)], f"{url}/v1/self"):
        yield url


def serve_collector(port: int) -> None:
    async def who(_request: Request) -> JSONResponse:
        grants = [{"role": "viewer", "scope": "fleet"}]
        return JSONResponse({"kind": "anonymous", "name": "", "grants": grants, "limit": None})

    uvicorn.run(Starlette(routes=[Route("/v1/self", who)]), port=port, log_level="error")


@contextmanager
def empty_page() -> Iterator[str]:
    """A new server of the same kind with an empty Dash page."""
    port = _free_port()
    url = f"http://127.0.0.1:{port}/"
    with process([sys.executable, __file__, "serve-empty-page", str(port)], f"{url}healthz"):
        yield url


def serve_empty_page(port: int) -> None:
    dash = Dash("empty")
    dash.layout = html.Div("Empty", id="empty")

    async def healthz(_request: Request) -> PlainTextResponse:
        return PlainTextResponse("ok\n")

    pages = cast(ASGIApp, WSGIMiddleware(dash.server))
    app = Starlette(routes=[Route("/healthz", healthz), Mount("/", pages)])
    uvicorn.run(app, port=port, log_level="warning")


def usable_ms(browser: Browser, url: str, ready: str) -> float:
    """From the start of the navigation, with an empty cache."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    page = context.new_page()
    page.add_init_script(_WATCH % ready)
    page.goto(url)
    taken: float = page.evaluate("window.usable")
    context.close()
    return taken


Page = tuple[Callable[[], AbstractContextManager[str]], str]  # starts its server; what is usable


def first_visits(browser: Browser, pages: Sequence[Page]) -> list[list[float]]:
    """Each page's, each time to a server that has just started; the pages in turn."""
    taken: list[list[float]] = [[] for _ in pages]
    for _ in range(STARTS):
        for (start, ready), times in zip(pages, taken, strict=True):
            with start() as url:
                times.append(usable_ms(browser, url, ready))
    return taken


def visits(browser: Browser, pages: Sequence[Page]) -> list[list[float]]:
    """Each page's, to servers that have answered before; the pages in turn."""
    taken: list[list[float]] = [[] for _ in pages]
    with ExitStack() as servers:
        opened = [(servers.enter_context(start()), ready) for start, ready in pages]
        for url, ready in opened:
            usable_ms(browser, url, ready)
        for _ in range(ROUNDS):
            for (url, ready), times in zip(opened, taken, strict=True):
                times.append(usable_ms(browser, url, ready))
    return taken


def measure(folder: Path, state: str) -> dict[str, float]:
    with (
        store(folder) as telemetry,
        collector() as asked,
        sync_playwright() as playwright,
    ):
        pages: list[Page] = [
            (lambda: fleet_page(folder, state, telemetry, asked), FLEET_READY),
            (empty_page, EMPTY_READY),
        ]
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        with empty_page() as url:  # the browser's own first visit is nobody's figure
            usable_ms(browser, url, EMPTY_READY)
        first_fleet, first_empty = map(median, first_visits(browser, pages))
        fleet, empty = map(median, visits(browser, pages))
        browser.close()
    return {
        "fleet_usable_ms": fleet,
        "empty_dash_ms": empty,
        "ratio": fleet / empty,
        "fleet_first_visit_ms": first_fleet,
        "empty_first_visit_ms": first_empty,
        "fleet_first_visit_ratio": first_fleet / first_empty,
        "fleet_first_visit_to_warm_ratio": first_fleet / empty,
    }


def main() -> int:
    vms = int(os.environ.get("BENCH_VMS", "2000"))
    with tempfile.TemporaryDirectory(prefix="novacron-bench-") as name:
        folder = Path(name)
        found = measure(folder, load(folder, vms))
    rest = {"vms": vms, "rounds": ROUNDS, "starts": STARTS, "budget_ratio": BUDGET_RATIO}
    report("fleet", {**found, **rest})
    return 1 if max(found["ratio"], found["fleet_first_visit_ratio"]) >= BUDGET_RATIO else 0


def _program(name: str, folder: Path) -> list[str]:
    program = Path(sys.executable).with_name(f"novacron-{name}")
    return [str(program), "--config", f"{folder}/{name}.toml"]


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port: int = sock.getsockname()[1]
    return port


if __name__ == "__main__":
    if sys.argv[1:2] == ["serve-empty-page"]:
        serve_empty_page(int(sys.argv[2]))
    elif sys.argv[1:2] == ["serve-collector"]:
        serve_collector(int(sys.argv[2]))
    else:
        sys.exit(main())
