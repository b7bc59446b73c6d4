"""Operations: what was asked for over VMs, by whom, and what became of it. The browser draws it."""

from __future__ import annotations

from dash import Dash, dcc, html
from dash.development.base_component import Component

from novacron_ui.browser import data, draw
from novacron_ui.pages import View

_TITLE = "Operations"


def view(operation: str = "") -> View:
    """All of them, the newest first, or the one with this id."""
    return View(f"{_TITLE} · NovaCron", _layout(operation))


def register(app: Dash) -> None:
    draw(app, "operations", "operations-shown", at_first=True)


def _layout(operation: str) -> Component:
    return html.Div(
        [
            dcc.Store(id="operations-shown", data={"operation": operation}),
            html.Div(html.H1(_TITLE, className="page-title"), className="page-head"),
            html.Div(html.Div(className="skeleton"), id="operations-body"),
        ],
        id="operations",
        **data(operation=operation),
    )
