"""The frame around every page: header, navigation, and the place where the page goes."""

from __future__ import annotations

from typing import Any

from dash import dcc, html
from dash.development.base_component import Component

from novacron_ui import visitor
from novacron_ui.access.visitors import VISITOR
from novacron_ui.browser import aria, data

PAGE = "page"  # the element whose children are the page
LOCATION = "location"
SHOWN = "shown"  # what is known of the page that is there; see `shown`


def shown(path: str, title: str, hosts: list[dict[str, str]]) -> dict[str, Any]:
    """The page's path, the document's title, the hosts in the navigation; who looks at it, and
    what they may order."""
    who = {"visitor": visitor.shown(VISITOR.get()), "verbs": visitor.verbs()}
    return {"path": path, "title": title, "hosts": hosts, **who}


def layout(page: Component, about: dict[str, Any]) -> Component:
    return html.Div(
        [
            dcc.Location(id=LOCATION, pathname=about["path"] or None),
            dcc.Store(id=SHOWN, data=about),
            html.A("Skip to content", href="#main", className="skip"),
            _header(),
            _navigation(),
            html.Main(html.Div(page, id=PAGE), id="main", className="main", tabIndex="-1"),
        ]
    )


def icon(name: str) -> Component:
    return html.Span(className=f"icon icon-{name}", **aria(hidden="true"))


def _header() -> Component:
    brand = [html.Span(className="brand-mark"), html.Span("NovaCron")]
    theme = html.Span(_button("theme", "Light or dark theme", "sun", "moon"), className="theme")
    return html.Header(
        [
            _button("nav", "Show or hide the navigation", "panel-left"),
            html.A(brand, href="/", className="brand"),
            html.Div(
                [
                    html.Span("Connecting", id="live-pill", className="pill", role="status"),
                    theme,
                    html.Div(id="account", className="account"),
                ],
                className="header-end",
            ),
        ],
        className="header",
    )


def _navigation() -> Component:
    pages = [
        ("Fleet", "/", "layout-grid"),
        ("Operations", "/operations", "list-checks"),
        ("Collector", "/collector", "radio-tower"),
    ]
    links = [
        html.A([icon(mark), html.Span(name)], href=path, className="nav-link")
        for name, path, mark in pages
    ]
    return html.Nav([*links, html.Div(id="nav-hosts")], className="nav", **aria(label="Main"))


def _button(action: str, label: str, *icons: str) -> Component:
    return html.Button(
        [icon(name) for name in icons],
        type="button",
        className="icon-button",
        title=label,
        **aria(label=label),
        **data(action=action),
    )
