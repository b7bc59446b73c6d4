"""Machine: one host or VM, its newest values, its charts over a range, and how it is measured."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from dash import Dash, Input, Output, dcc, html
from dash.development.base_component import Component

from novacron_contract.access import Permission
from novacron_contract.errors import BadMessage
from novacron_contract.metrics import AGENT_SERVICE_NAME
from novacron_ui.browser import data, draw
from novacron_ui.pages import View, answer
from novacron_ui.pages.panels import section
from novacron_ui.query.agent_panels import AGENT_PANELS
from novacron_ui.query.drawing import parse_range
from novacron_ui.query.fleet import Fleet
from novacron_ui.query.machine import Machine
from novacron_ui.query.monitoring import Monitoring
from novacron_ui.shell import icon
from novacron_ui.visitor import may

_NO_AGENT = "No agent of NovaCron reports this host: its values come from another sender."
_TILES = ("CPU", "Memory", "Network", "Disk")


def view(machine: Machine) -> View:
    return View(f"{machine.name} · NovaCron", _layout(machine))


def register(app: Dash, fleet: Fleet, monitoring: Monitoring) -> None:
    @app.callback(Output("machine-snapshot", "data"), Input("machine-ask", "data"))
    def snapshot(asked: Any) -> dict[str, Any]:
        return answer(lambda: fleet.around(_entity(asked), datetime.now(UTC)))

    @app.callback(
        Output("monitoring-data", "data"),
        Input("monitoring-ask", "data"),
        prevent_initial_call=True,
    )
    def measured(asked: Any) -> dict[str, Any]:
        """`asked` comes back, so that the browser can tell the newest answer."""
        return {**answer(lambda: _measured(monitoring, asked)), "asked": asked}

    draw(app, "machine", "machine-snapshot")
    draw(app, "monitoring", "monitoring-data")


def _measured(monitoring: Monitoring, asked: Any) -> dict[str, Any]:
    now = datetime.now(UTC)
    match asked:
        case {"entity": str(entity), "kind": "host", "range": over}:
            return monitoring.of_host(entity, parse_range(over, now), now)
        case {"entity": str(entity), "kind": "vm", "range": over}:
            return monitoring.of_vm(entity, parse_range(over, now), now)
    raise BadMessage("expected an entity, its kind and a range")


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
            *(dcc.Store(id=store) for store in ("monitoring-ask", "monitoring-data")),
            _crumbs(machine),
            _head(machine),
            html.Div(id="machine-orders", className="orders"),
            html.Div(id="machine-trouble", className="notices"),
            html.Div(id="machine-notices", className="notices"),
            html.Div([_tile(title) for title in _TILES], id="machine-tiles", className="tiles"),
            html.Div(id="machine-toolbar", className="toolbar"),
            html.Div(id="machine-lost", className="lost"),
            html.Div(panels, className="panels"),
            html.Div(id="machine-empty", className="empty-panels"),
            *([_agent(machine)] if machine.kind == "host" else []),
            html.Div(id="machine-vms"),
        ],
        id="machine",
        **data(entity=machine.id, kind=machine.kind, name=machine.name, may=_permissions(machine)),
    )


def _permissions(machine: Machine) -> str:
    """Those of who looks at it that are about acting upon it."""
    if machine.kind != "vm":
        return ""
    acting = (Permission.VM_POWER, Permission.VM_MANAGE)
    return " ".join(each.value for each in acting if may(each, machine.target))


def _agent(machine: Machine) -> Component:
    """Closed, but for a line that says how it is, until somebody wants to know more."""
    if not machine.agent_id:
        return html.P(_NO_AGENT, id="machine-agent", className="agent-none")
    panels = [section(panel) for panel in AGENT_PANELS]
    head = [
        icon("chevron-right"),
        html.H2("Agent"),
        html.Span(id="agent-state"),
        html.Span(id="agent-brief", className="agent-brief"),
    ]
    body = [
        html.Div(id="agent-figures"),
        html.Div(panels, className="panels"),
        html.Div(id="agent-empty", className="empty-panels"),
    ]
    return html.Details(
        [html.Summary(head, className="agent-head"), html.Div(body, className="agent-body")],
        id="machine-agent",
        className="agent card",
        **data(entity=f"{AGENT_SERVICE_NAME}/{machine.agent_id}"),
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
            html.Span(id="machine-actions", className="actions"),
            html.Div([copy, *(html.Span(fact) for fact in machine.facts)], className="facts"),
        ],
        className="page-head machine-head",
    )


def _tile(title: str) -> Component:
    bar = html.Div(className="skeleton", style={"width": "72px", "height": "24px"})
    return html.Div([html.Div(title, className="tile-title"), bar], className="tile card")
