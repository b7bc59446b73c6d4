"""Collector: what a collector takes, what waits in its log, and what it costs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from dash import Dash, Input, Output, dcc, html
from dash.development.base_component import Component

from novacron_contract.errors import BadMessage, NotFound
from novacron_ui.browser import aria, data, draw
from novacron_ui.pages import View, answer
from novacron_ui.pages.panels import section
from novacron_ui.query.collector import Collectors, Instance
from novacron_ui.query.collector_panels import COLLECTOR_PANELS
from novacron_ui.shell import icon

KIND = "collector"  # of the entity, for the panels
PATH = "/collector"
_TITLE = "Collector · NovaCron"
_FIRST = "A collector reports of itself every 10 seconds. This page looks again by itself."
_TILES = ("Points taken", "Turned away", "Waiting in the log", "Process")


def view(collectors: Collectors, wanted: str | None = None) -> View:
    """The page of one collector: the one with the id `wanted`, or the one heard of last.

    Raises:
        NotFound: no collector with that id was heard of.
    """
    found = answer(lambda: {"instances": collectors.instances(datetime.now(UTC))})
    if "error" in found:
        return View(_TITLE, _state("unplug", found["error"]["title"], found["error"]["detail"]))
    instances: list[Instance] = found["instances"]
    if not instances and wanted is None:
        return View(_TITLE, _state("radio-tower", "No collector reports yet", _FIRST))
    for instance in instances:
        if wanted in (None, instance.id):
            return View(_TITLE, _layout(instance, instances))
    raise NotFound(f"no collector has the id {wanted!r}")


def register(app: Dash, collectors: Collectors) -> None:
    @app.callback(Output("collector-figures", "data"), Input("collector-ask", "data"))
    def figures(asked: Any) -> dict[str, Any]:
        """`made`: our clock when it is sent; the browser's may differ."""
        found = answer(lambda: collectors.headlines(_entity(asked), datetime.now(UTC)))
        return {**found, "made": round(datetime.now(UTC).timestamp() * 1000)}

    draw(app, "collector", "collector-figures", at_first=True)


def _entity(asked: Any) -> str:
    match asked:
        case {"entity": str(entity)}:
            return entity
    raise BadMessage("expected an entity")


def _layout(shown: Instance, every: Sequence[Instance]) -> Component:
    return html.Div(
        [
            dcc.Store(id="collector-ask", data={"entity": shown.entity}),
            *(dcc.Store(id=store) for store in ("collector-figures", "notices-ask")),
            dcc.Store(id="notices-data"),
            _head(shown, every),
            html.Div(id="notices", className="notices"),
            html.Div(id="collector-trouble", className="notices"),
            html.P(_waiting(), id="collector-state", className="headline", role="status"),
            html.Div([_tile(title) for title in _TILES], id="collector-tiles", className="tiles"),
            html.Div(id="collector-toolbar", className="toolbar"),
            html.Div([section(panel) for panel in COLLECTOR_PANELS], className="panels"),
            html.Div(id="collector-empty", className="empty-panels"),
        ],
        id="collector",
        **data(entity=shown.entity, kind=KIND),
    )


def _head(shown: Instance, every: Sequence[Instance]) -> Component:
    copy = html.Button(
        [html.Span(shown.id, className="mono"), icon("copy")],
        type="button",
        className="copy",
        title="Copy the id",
        **data(action="copy", text=shown.id),
    )
    facts = [f"{word} {fact}" for word, fact in _facts(shown) if fact]
    return html.Div(
        [
            html.H1("Collector", className="page-title"),
            *([_choice(shown, every)] if len(every) > 1 else []),
            html.Div([copy, *map(html.Span, facts)], className="facts"),
        ],
        className="page-head machine-head",
    )


def _facts(shown: Instance) -> tuple[tuple[str, str], ...]:
    return (("on", shown.host), ("version", shown.version))


def _choice(shown: Instance, every: Sequence[Instance]) -> Component:
    links = [
        html.A(
            instance.label,
            href=f"{PATH}/{instance.id}",
            className="segment",
            title=instance.id,
            **aria(current="page" if instance is shown else "false"),
        )
        for instance in every
    ]
    return html.Nav(links, className="segments choice", **aria(label="Collectors"))


def _waiting() -> Component:
    return html.Span(className="skeleton", style={"width": "min(420px, 80vw)", "height": "18px"})


def _tile(title: str) -> Component:
    bar = html.Div(className="skeleton", style={"width": "72px", "height": "24px"})
    return html.Div([html.Div(title, className="tile-title"), bar], className="tile card")


def _state(mark: str, title: str, text: str) -> Component:
    """Instead of a collector; the operator may still have to know and do something."""
    stores = ("collector-ask", "collector-figures", "notices-ask", "notices-data")
    again = html.A("Look again", href=PATH, className="button", target="_self")
    card = html.Div(
        [
            html.Div(icon(mark), className="state-icon"),
            html.H1(title, className="state-title"),
            html.P(text, className="state-text"),
            again,
        ],
        className="state",
        role="status",
    )
    return html.Div(
        [
            *(dcc.Store(id=store) for store in stores),
            html.Div(id="notices", className="notices"),
            card,
        ],
        id="collector",
    )
