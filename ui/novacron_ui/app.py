"""The Dash app: the shell, and which path leads to which page."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from dash import Dash, Input, Output, html
from dash.development.base_component import Component

from novacron_contract.errors import BadMessage, NotFound, NovaCronError
from novacron_ui import shell
from novacron_ui.browser import draw
from novacron_ui.pages import View, fleet, machine
from novacron_ui.query.fleet import Fleet
from novacron_ui.query.machine import Machines
from novacron_ui.query.notices import Notices

log = logging.getLogger(__name__)

FOLDER = Path(__file__).parent
ASSETS = FOLDER / "assets"


@dataclass(frozen=True)
class Services:
    """What the pages ask."""

    fleet: Fleet
    machines: Machines
    notices: Notices


def create_app(services: Services) -> Dash:
    app = Dash(
        "novacron",
        title="NovaCron",
        update_title="",
        index_string=(FOLDER / "index.html").read_text(encoding="utf-8"),
        include_assets_files=False,  # index.html names them, in order; the server has them at hand
        suppress_callback_exceptions=True,  # pages come and go
        meta_tags=[{"name": "viewport", "content": "width=device-width, initial-scale=1"}],
        add_log_handler=False,
    )
    app.layout = shell.layout
    _register_shell(app, services)
    fleet.register(app, services.fleet, services.notices)
    machine.register(app, services.machines, services.fleet)
    return app


def _register_shell(app: Dash, services: Services) -> None:
    @app.callback(
        Output(shell.PAGE, "children"),
        Output(shell.TITLE, "data"),
        Input(shell.LOCATION, "pathname"),
    )
    def route(path: str | None) -> tuple[Component, str]:
        found = view(services.machines, path or "/")
        return found.content, found.title

    @app.callback(Output(shell.HOSTS, "data"), Input(shell.LOCATION, "pathname"))
    def hosts(_path: str | None) -> list[dict[str, str]]:
        try:
            return services.fleet.hosts()
        except NovaCronError as err:
            log.warning("the hosts cannot be listed: %s", err)
            return []

    draw(app, "title", shell.TITLE)
    draw(app, "hosts", shell.HOSTS)


def view(machines: Machines, path: str) -> View:
    try:
        match path.strip("/").split("/"):
            case [""]:
                return fleet.view()
            case ["machine", machine_id]:
                return machine.view(machines.find(unquote(machine_id)))
    except (NotFound, BadMessage):
        return _message("There is no such machine", "It may never have reported here.")
    except NovaCronError as err:
        log.warning("%s cannot be shown: %s", path, err)
        return _message("This page cannot be shown now", str(err))
    return _message("There is no such page", "The address may be old or mistyped.")


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
