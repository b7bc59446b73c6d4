"""Machine: one host or VM, its newest values and its charts over a range."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from dash import ALL, MATCH, Dash, Input, Output, dcc, html
from dash.development.base_component import Component

from novacron_contract.errors import BadMessage
from novacron_ui.browser import aria, data, draw
from novacron_ui.pages import View, answer
from novacron_ui.query.fleet import Fleet
from novacron_ui.query.machine import Machine, Machines, parse_range
from novacron_ui.query.panels import Panel
from novacron_ui.shell import icon

_TILES = ("CPU", "Memory", "Network", "Disk")


def view(machine: Machine) -> View:
    return View(f"{machine.name} · NovaCron", _layout(machine))


def register(app: Dash, machines: Machines, fleet: Fleet) -> None:
    @app.callback(Output("machine-snapshot", "data"), Input("machine-ask", "data"))
    def snapshot(asked: Any) -> dict[str, Any]:
        return answer(lambda: fleet.around(_entity(asked), datetime.now(UTC)))

    @app.callback(
        Output({"type": "panel-data", "panel": MATCH}, "data"),
        Input({"type": "panel-ask", "panel": MATCH}, "data"),
        prevent_initial_call=True,
    )
    def panel(asked: Any) -> dict[str, Any]:
        """`number` comes back, so that the browser can tell the newest answer."""
        return {**answer(lambda: _draw(machines, asked)), **_echo(asked)}

    draw(app, "machine", "machine-snapshot")
    draw(app, "panels", {"type": "panel-data", "panel": ALL})


def _entity(asked: Any) -> str:
    match asked:
        case {"entity": str(entity)}:
            return entity
    raise BadMessage("expected an entity")


def _draw(machines: Machines, asked: Any) -> dict[str, Any]:
    match asked:
        case {"entity": str(entity), "kind": str(kind), "panel": str(panel), "range": over}:
            return machines.draw(entity, kind, panel, parse_range(over, datetime.now(UTC)))
    raise BadMessage("expected an entity, its kind, a panel and a range")


def _echo(asked: Any) -> dict[str, Any]:
    return {key: asked.get(key) for key in ("panel", "number")} if isinstance(asked, dict) else {}


def _layout(machine: Machine) -> Component:
    panels = [_panel(panel) for panel in machine.panels]
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


def _panel(panel: Panel) -> Component:
    ask, lines = ({"type": f"panel-{part}", "panel": panel.id} for part in ("ask", "data"))
    head = [html.H2(panel.title), html.Span(className="panel-badges")]
    drawing = data(
        panel=panel.id,
        unit=panel.unit,
        rate=str(panel.is_rate).lower(),
        share=str(panel.is_share).lower(),
        metrics=" ".join(panel.metrics),
    )
    return html.Section(
        [
            dcc.Store(id=ask),
            dcc.Store(id=lines),
            html.Div(head, className="panel-head"),
            html.Div(html.Div(className="skeleton"), className="panel-body"),
        ],
        className="panel card",
        **aria(label=panel.title),
        **drawing,
    )
