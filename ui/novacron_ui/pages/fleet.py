"""Fleet: every host and VM on one page. The table itself is drawn by assets/fleet.js."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson
from dash import Dash, Input, Output, dcc, html
from dash.development.base_component import Component
from flask import Flask, request

from novacron_ui.browser import aria, draw
from novacron_ui.pages import View, answer
from novacron_ui.query.fleet import Fleet
from novacron_ui.query.notices import Notices
from novacron_ui.query.shared import Shared

# How old an answer may be that several browsers share. A page's first numbers may be older: the
# live path corrects them at once, and a newer snapshot follows.
SNAPSHOT_S, SPARKLINES_S, AT_FIRST_S = 2.0, 30.0, 60.0
# How long the page itself waits for its numbers: asking for them later costs a round trip more.
WAIT_S = 0.3
_SKELETON_ROWS = 12


@dataclass(frozen=True)
class FleetPage:
    """A store that ends in `-ask` is changed by the browser when it wants newer data."""

    snapshot: Shared[str]
    sparklines: Shared[str]
    notices: Notices

    @staticmethod
    def of(fleet: Fleet, notices: Notices) -> FleetPage:
        return FleetPage(
            Shared(lambda: _text(fleet.snapshot(datetime.now(UTC)))),
            Shared(lambda: _text(fleet.cpu_sparklines(datetime.now(UTC)))),
            notices,
        )

    def view(self) -> View:
        """With a snapshot where there is one; the browser asks for a newer one when it is drawn."""
        text = self.snapshot.soon(AT_FIRST_S, WAIT_S)
        return View("Fleet · NovaCron", _layout(None if text is None else _served(text)))

    def register(self, app: Dash) -> None:
        self._begin_early(app.server)

        @app.callback(
            Output("fleet-snapshot", "data"),
            Input("fleet-ask", "data"),
            prevent_initial_call=True,
        )
        def snapshot(_asked: Any) -> dict[str, Any]:
            return answer(lambda: _served(self.snapshot.get(SNAPSHOT_S)))

        @app.callback(
            Output("fleet-sparklines", "data"),
            Input("sparklines-ask", "data"),
            prevent_initial_call=True,
        )
        def sparklines(_asked: Any) -> dict[str, Any]:
            return answer(lambda: _served(self.sparklines.get(SPARKLINES_S)))

        @app.callback(
            Output("notices-data", "data"),
            Input("notices-ask", "data"),
            prevent_initial_call=True,
        )
        def notices(_asked: Any) -> list[dict[str, str]]:
            return self.notices.current()

        draw(app, "fleet", "fleet-snapshot", at_first=True)
        draw(app, "sparklines", "fleet-sparklines")
        draw(app, "notices", "notices-data")

    def _begin_early(self, server: Flask) -> None:
        """Read the fleet while the browser still loads what the page is made of."""

        def begin() -> None:
            if request.path == "/":
                self.snapshot.begin(AT_FIRST_S)

        server.before_request(begin)


def _text(found: dict[str, Any]) -> str:
    """JSON as text inside Dash's JSON: Dash walks through objects, in Python and in the browser,
    which for 2,000 machines takes longer than reading them from the store."""
    return orjson.dumps(found).decode()


def _served(text: str) -> dict[str, Any]:
    """`now` by our clock, which the browser's may differ from."""
    return {"text": text, "now": round(datetime.now(UTC).timestamp() * 1000)}


def _layout(snapshot: dict[str, Any] | None) -> Component:
    """With the `snapshot` where it is there already; else the browser asks for it."""
    tiles, table = (_skeleton_tiles(), _skeleton_table()) if snapshot is None else (None, None)
    asked = ("fleet-ask", "sparklines-ask", "fleet-sparklines", "notices-ask", "notices-data")
    return html.Div(
        [
            *(dcc.Store(id=store) for store in asked),
            dcc.Store(id="fleet-snapshot", data=snapshot),
            html.Div(html.H1("Fleet", className="page-title"), className="page-head"),
            html.Div(id="notices", className="notices"),
            html.Div(id="fleet-trouble", className="notices"),
            html.Div(tiles, id="fleet-summary", className="tiles"),
            html.Div(id="fleet-orders", className="orders"),
            html.Div(table, id="fleet-body"),
            html.Div(id="fleet-selection"),
        ],
        id="fleet",
    )


def _skeleton_tiles() -> list[Component]:
    lines = [("88px", "14px"), ("64px", "26px"), ("128px", "14px")]
    bars = [
        html.Div(className="skeleton", style={"width": width, "height": height, "margin": "4px 0"})
        for width, height in lines
    ]
    return [html.Div(bars, className="tile card") for _ in range(4)]


def _skeleton_table() -> Component:
    rows = [html.Div(className="skeleton") for _ in range(_SKELETON_ROWS)]
    return html.Div(rows, className="card skeleton-rows", role="status", **aria(label="Loading"))
