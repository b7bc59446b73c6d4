"""How soon Fleet can be used with 2,000 VMs, against an empty Dash page in the same browser.

Run it as `make bench-fleet`. Real novacron-store and novacron-ui processes, 2,000 VMs x 25 series
x 6 hours; Chromium without a cache opens both pages in turn. A page is usable when its content is
on the screen: for Fleet, rows with their numbers. BENCH_VMS takes a smaller fleet.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median

import uvicorn
from a2wsgi import WSGIMiddleware
from dash import Dash, html
from playwright.sync_api import Browser, sync_playwright

from novacron_store.state import Host, Inventory, Vm, migrate, open_state
from novacron_store.telemetry import migrations
from novacron_store.telemetry.client import connect
from panels import fill, settle
from report import report

BUDGET_RATIO = 2.0
ROUNDS = 9
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
def product(folder: Path, state: str) -> Iterator[str]:
    """novacron-store and novacron-ui on what was loaded; the URL of the UI."""
    store, ui = _free_port(), _free_port()
    (folder / "password").write_text("bench")
    (folder / "store.toml").write_text(
        f'[store]\npath = "{folder}/data"\nlisten = "127.0.0.1:{store}"\n'
        f'service_password_file = "{folder}/password"\nreader_password_file = "{folder}/password"\n'
    )
    (folder / "ui.toml").write_text(
        f'[ui]\nlisten = "127.0.0.1:{ui}"\n[state]\nurl = "{state}"\n'
        f'[telemetry]\nurl = "http://127.0.0.1:{store}"\npassword_file = "{folder}/password"\n'
    )
    programs = Path(sys.executable).parent
    commands = [
        [str(programs / f"novacron-{name}"), "--config", f"{folder}/{name}.toml"]
        for name in ("store", "ui")
    ]
    with (
        process(commands[0], f"http://127.0.0.1:{store}/ping"),
        process(commands[1], f"http://127.0.0.1:{ui}/healthz"),
    ):
        yield f"http://127.0.0.1:{ui}/"


@contextmanager
def empty_page() -> Iterator[str]:
    """An empty Dash page, served by the same kind of server."""
    port = _free_port()
    url = f"http://127.0.0.1:{port}/"
    with process([sys.executable, __file__, "serve-empty-page", str(port)], url):
        yield url


def serve_empty_page(port: int) -> None:
    app = Dash("empty")
    app.layout = html.Div("Empty", id="empty")
    uvicorn.run(WSGIMiddleware(app.server), port=port, log_level="warning")


def usable_ms(browser: Browser, url: str, ready: str) -> float:
    """From the start of the navigation, with an empty cache."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    page = context.new_page()
    page.add_init_script(_WATCH % ready)
    page.goto(url)
    taken: float = page.evaluate("window.usable")
    context.close()
    return taken


def measure(fleet: str, empty: str) -> tuple[float, list[float], list[float]]:
    """Fleet's very first visit, when the server has no snapshot yet; then both pages in turn."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        usable_ms(browser, empty, EMPTY_READY)
        first = usable_ms(browser, fleet, FLEET_READY)
        pairs = [
            (usable_ms(browser, fleet, FLEET_READY), usable_ms(browser, empty, EMPTY_READY))
            for _ in range(ROUNDS)
        ]
        browser.close()
    return first, [pair[0] for pair in pairs], [pair[1] for pair in pairs]


def main() -> int:
    vms = int(os.environ.get("BENCH_VMS", "2000"))
    with tempfile.TemporaryDirectory(prefix="novacron-bench-") as name:
        folder = Path(name)
        state = load(folder, vms)
        with product(folder, state) as fleet, empty_page() as empty:
            first, fleets, empties = measure(fleet, empty)
    ratio = median(fleets) / median(empties)
    figures = {
        "fleet_usable_ms": median(fleets),
        "empty_dash_ms": median(empties),
        "ratio": ratio,
        "fleet_first_visit_ms": first,
        "vms": vms,
        "rounds": ROUNDS,
        "budget_ratio": BUDGET_RATIO,
    }
    report("fleet", figures)
    return 1 if ratio >= BUDGET_RATIO else 0


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port: int = sock.getsockname()[1]
    return port


if __name__ == "__main__":
    if sys.argv[1:2] == ["serve-empty-page"]:
        serve_empty_page(int(sys.argv[2]))
    else:
        sys.exit(main())
