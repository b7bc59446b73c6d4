"""The Dash app: the shell, and which path leads to which page."""

from __future__ import annotations

import base64
import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from dash import Dash, Input, Output, State, html
from dash.development.base_component import Component
from dash.exceptions import PreventUpdate
from flask import request

from novacron_contract.errors import BadMessage, NotFound, NovaCronError
from novacron_ui import shell
from novacron_ui.browser import draw
from novacron_ui.pages import View, collector, machine, operations, panels
from novacron_ui.pages.fleet import FleetPage
from novacron_ui.query.collector import Collectors
from novacron_ui.query.fleet import Fleet
from novacron_ui.query.machine import PANELS, Machines
from novacron_ui.query.monitoring import Monitoring
from novacron_ui.query.notices import Notices

log = logging.getLogger(__name__)

FOLDER = Path(__file__).parent
ASSETS = FOLDER / "assets"


@dataclass(frozen=True)
class Services:
    """What the pages ask."""

    fleet: Fleet
    machines: Machines
    monitoring: Monitoring
    collectors: Collectors
    notices: Notices


# Written into the page: the first paint and Dash's own scripts then wait for no further requests.
INLINE = ("choices.js", "bridge.js")
STYLES = (
    "tokens.css",
    "icons.css",
    "shell.css",
    "fleet.css",
    "machine.css",
    "agent.css",
    "collector.css",
    "menu.css",
    "actions.css",
    "operations.css",
    "vendor/uplot/uPlot.min.css",
)
LOGIN_STYLES = ("tokens.css", "icons.css", "shell.css", "login.css")


def create_app(pages: Pages) -> Dash:
    app = Dash(
        "novacron",
        title="NovaCron",
        update_title="",
        index_string=_index(),
        include_assets_files=False,  # index.html names them, in order; the server has them at hand
        suppress_callback_exceptions=True,  # pages come and go
        meta_tags=[{"name": "viewport", "content": "width=device-width, initial-scale=1"}],
        add_log_handler=False,
    )
    app.layout = pages.first_layout
    pages.register(app)
    return app


def script_hashes(app: Dash) -> list[str]:
    """Of all scripts written into the page: the browser runs no others that are."""
    digests = [hashlib.sha256(_source(name).encode()).digest() for name in INLINE]
    ours = [f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests]
    return [*app.csp_hashes(), *ours]


def login_template() -> str:
    """Of a page that needs none of Dash."""
    return _filled("login.html", LOGIN_STYLES)


def _index() -> str:
    return _filled("index.html", STYLES)


def _filled(name: str, styles: Sequence[str]) -> str:
    page = (FOLDER / name).read_text(encoding="utf-8")
    page = page.replace("{styles}", "\n".join(_source(name) for name in styles))
    for name in INLINE:
        page = page.replace(f"{{{name}}}", _source(name))
    return page


def _source(name: str) -> str:
    return (ASSETS / name).read_text(encoding="utf-8")


@dataclass(frozen=True)
class Pages:
    services: Services
    fleet: FleetPage = field(init=False)

    def __post_init__(self) -> None:
        services = self.services
        object.__setattr__(self, "fleet", FleetPage.of(services.fleet, services.notices))

    def register(self, app: Dash) -> None:
        @app.callback(
            Output(shell.PAGE, "children"),
            Output(shell.SHOWN, "data"),
            Input(shell.LOCATION, "pathname"),
            State(shell.SHOWN, "data"),
            prevent_initial_call=True,
        )
        def route(path: str | None, shown: dict[str, Any]) -> tuple[Component, dict[str, Any]]:
            if path is None or path == shown["path"]:
                raise PreventUpdate
            view = self.view(path)
            return view.content, shell.shown(path, view.title, self._hosts())

        draw(app, "shell", shell.SHOWN, at_first=True)
        self.fleet.register(app)
        machine.register(app, self.services.fleet, self.services.monitoring)
        collector.register(app, self.services.collectors)
        operations.register(app)
        panels.register(app, self._drawings())

    def _drawings(self) -> dict[str, panels.Drawing]:
        def of(kind: str) -> panels.Drawing:
            return lambda entity, panel, over: machines.draw(entity, kind, panel, over)

        machines = self.services.machines
        own = {collector.KIND: self.services.collectors.draw}
        return own | {kind: of(kind) for kind in PANELS}

    def first_layout(self) -> Component:
        """The shell with the page that was asked for, which saves the browser a round trip."""
        path = urlsplit(request.referrer or "").path
        view = self.view(path) if path else View("", html.Div())
        return shell.layout(view.content, shell.shown(path, view.title, self._hosts()))

    def view(self, path: str) -> View:
        try:
            match path.strip("/").split("/"):
                case [""]:
                    return self.fleet.view()
                case ["machine", machine_id]:
                    return machine.view(self.services.machines.find(unquote(machine_id)))
                case ["collector"]:
                    return collector.view(self.services.collectors)
                case ["operations"]:
                    return operations.view()
                case ["operations", operation]:
                    return operations.view(unquote(operation))
                case ["collector", instance]:
                    return collector.view(self.services.collectors, unquote(instance))
        except (NotFound, BadMessage):
            what = "collector" if path.startswith(collector.PATH) else "machine"
            return _message(f"There is no such {what}", "It may never have reported here.")
        except NovaCronError as err:
            log.warning("%s cannot be shown: %s", path, err)
            return _message("This page cannot be shown now", str(err))
        return _message("There is no such page", "The address may be old or mistyped.")

    def _hosts(self) -> list[dict[str, str]]:
        try:
            return self.services.fleet.hosts()
        except NovaCronError as err:
            log.warning("the hosts cannot be listed: %s", err)
            return []


def _message(title: str, text: str) -> View:
    content = html.Div(
        [
            html.Div(shell.icon("search"), className="state-icon"),
            html.H1(title, className="state-title"),
            html.P(text, className="state-text"),
            html.A("Go to Fleet", href="/", className="button"),
        ],
        className="state",
    )
    return View(f"{title} · NovaCron", content)
