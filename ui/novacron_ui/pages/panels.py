"""Panels as all pages with charts have them: where the browser draws, and what it gets to draw."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from dash import ALL, MATCH, Dash, Input, Output, dcc, html
from dash.development.base_component import Component

from novacron_contract.errors import BadMessage
from novacron_ui.browser import aria, data, draw
from novacron_ui.pages import answer
from novacron_ui.query.drawing import Range, parse_range
from novacron_ui.query.panels import Panel

# From an entity, a panel's id and a range to its lines.
Drawing = Callable[[str, str, Range], dict[str, Any]]


def register(app: Dash, drawings: Mapping[str, Drawing]) -> None:
    """`drawings` by the kind of entity whose panels they are."""

    @app.callback(
        Output({"type": "panel-data", "panel": MATCH}, "data"),
        Input({"type": "panel-ask", "panel": MATCH}, "data"),
        prevent_initial_call=True,
    )
    def panel(asked: Any) -> dict[str, Any]:
        """`number` comes back, so that the browser can tell the newest answer."""
        return {**answer(lambda: _draw(drawings, asked)), **_echo(asked)}

    draw(app, "panels", {"type": "panel-data", "panel": ALL})


def section(panel: Panel) -> Component:
    ask, lines = ({"type": f"panel-{part}", "panel": panel.id} for part in ("ask", "data"))
    head = [html.H2(panel.title), html.Span(className="panel-badges")]
    drawing = data(
        panel=panel.id,
        unit=panel.unit,
        rate=str(panel.is_rate).lower(),
        share=str(panel.is_share).lower(),
        metrics=" ".join(panel.metrics),
        redrawn=panel.redrawn_every_s,
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


def _draw(drawings: Mapping[str, Drawing], asked: Any) -> dict[str, Any]:
    match asked:
        case {"entity": str(entity), "kind": str(kind), "panel": str(panel), "range": over} if (
            kind in drawings
        ):
            return drawings[kind](entity, panel, parse_range(over, datetime.now(UTC)))
    raise BadMessage("expected an entity, its kind, a panel and a range")


def _echo(asked: Any) -> dict[str, Any]:
    return {key: asked.get(key) for key in ("panel", "number")} if isinstance(asked, dict) else {}
