"""Machine: one host or VM, its newest values and its charts over a range."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from dash import Dash, Input, Output, dcc, html
from dash.development.base_component import Component

from novacron_contract.errors import BadMessage
from novacron_ui.browser import data, draw
from novacron_ui.pages import View, answer
from novacron_ui.pages.panels import section
from novacron_ui.query.fleet import Fleet
from novacron_ui.query.machine import Machine
from novacron_ui.shell import icon

_TILES = ("CPU", "Memory", "Network", "Disk")


def view(machine: Machine) -> View:
    return View(f"{machine.name} · NovaCron", _layout(machine))


def register(app: Dash, fleet: Fleet) -> None:
    @app.callback(Output("machine-snapshot", "data"), Input("machine-ask", "data"))
    def snapshot(asked: Any) -> dict[str, Any]:
        return answer(lambda: fleet.around(_entity(asked), datetime.now(UTC)))

    draw(app, "machine", "machine-snapshot")


def _entity(asked: Any) -> str:
    match asked:
        case {"entity": str(entity)}:
            return entity
    raise BadMessage("expected an entity")


def _layout(machine: Machine) -> Component:
    panels = [section(panel) for panel in machine.panels]
    return html.Div(
        [
            dcc.Store(id="machine-ask", data={"entity": machine.id}),
            dcc.Store(id="machine-snapshot"),
            _crumbs(machine),
            _head(machine),
            html.Div(id="machine-trouble", className="notices"),
            html.Div([_tile(title) for title in _TILES], id="machine-tiles", className="tiles"),
            html.Div(id="machine-toolbar", className="toolbar"),
            html.Div(panels, className="panels"),
            html.Div(id="machine-empty", className="empty-panels"),
            html.Div(id="machine-vms"),
        ],
        id="machine",
        **data(entity=machine.id, kind=machine.kind),
    )


def _crumbs(machine: Machine) -> Component:
    steps: list[Component] = [html.A("Fleet", href="/")]
    if machine.host:
        steps.append(html.A(machine.host.name, href=f"/machine/{machine.host.id}"))
    separated = [part for step in steps for part in (step, icon("chevron-right"))]
    return html.Nav([*separated, html.Span(machine.name)], className="crumbs")


def _head(machine: Machine) -> Component:
    copy = html.Button(
        [html.Span(machine.id, className="mono"), icon("copy")],
        type="button",
        className="copy",
        title="Copy the id",
        **data(action="copy", text=machine.id),
    )
    return html.Div(
        [
            html.H1(machine.name, className="page-title", title=machine.name),
            html.Span(id="machine-state"),
            html.Div([copy, *(html.Span(fact) for fact in machine.facts)], className="facts"),
        ],
        className="page-head machine-head",
    )


def _tile(title: str) -> Component:
    bar = html.Div(className="skeleton", style={"width": "72px", "height": "24px"})
    return html.Div([html.Div(title, className="tile-title"), bar], className="tile card")
