"""Fleet: every host and VM on one page. The table itself is drawn by assets/fleet.js."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from dash import Dash, Input, Output, dcc, html
from dash.development.base_component import Component

from novacron_ui.browser import aria, draw
from novacron_ui.pages import View, answer
from novacron_ui.query.fleet import Fleet
from novacron_ui.query.notices import Notices

_SKELETON_ROWS = 12


def view() -> View:
    return View("Fleet · NovaCron", _layout())


def register(app: Dash, fleet: Fleet, notices: Notices) -> None:
    """A store that ends in `-ask` is changed by the browser when it wants newer data."""

    @app.callback(Output("fleet-snapshot", "data"), Input("fleet-ask", "data"))
    def snapshot(_asked: Any) -> dict[str, Any]:
        return answer(lambda: fleet.snapshot(datetime.now(UTC)))

    @app.callback(
        Output("fleet-sparklines", "data"),
        Input("fleet-snapshot", "data"),
        prevent_initial_call=True,
    )
    def sparklines(snapshot: dict[str, Any]) -> dict[str, Any] | None:
        if "error" in snapshot:
            return None
        lines = answer(lambda: fleet.cpu_sparklines(datetime.now(UTC)))
        return None if "error" in lines else lines

    @app.callback(Output("notices-data", "data"), Input("notices-ask", "data"))
    def current_notices(_asked: Any) -> list[dict[str, str]]:
        return notices.current()

    draw(app, "fleet", "fleet-snapshot")
    draw(app, "sparklines", "fleet-sparklines")
    draw(app, "notices", "notices-data")


def _layout() -> Component:
    stores = ("fleet-ask", "fleet-snapshot", "fleet-sparklines", "notices-ask", "notices-data")
    return html.Div(
        [
            *(dcc.Store(id=store) for store in stores),
            html.Div(html.H1("Fleet", className="page-title"), className="page-head"),
            html.Div(id="notices", className="notices"),
            html.Div(id="fleet-trouble", className="notices"),
            html.Div([_skeleton_tile() for _ in range(4)], id="fleet-summary", className="tiles"),
            html.Div(_skeleton_table(), id="fleet-body"),
        ],
        id="fleet",
    )


def _skeleton_tile() -> Component:
    lines = [("88px", "14px"), ("64px", "26px"), ("128px", "14px")]
    bars = [
        html.Div(className="skeleton", style={"width": width, "height": height, "margin": "4px 0"})
        for width, height in lines
    ]
    return html.Div(bars, className="tile card")


def _skeleton_table() -> Component:
    rows = [html.Div(className="skeleton") for _ in range(_SKELETON_ROWS)]
    return html.Div(rows, className="card skeleton-rows", role="status", **aria(label="Loading"))
