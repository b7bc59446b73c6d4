"""What Python code says to the browser's side: attributes, and which function draws a store."""

from __future__ import annotations

from typing import Any

from dash import ClientsideFunction, Dash, Input, Output


def aria(**values: Any) -> dict[str, Any]:
    """`aria(label="Search")` as an attribute of an element of Dash."""
    return {f"aria-{name}": value for name, value in values.items()}


def data(**values: Any) -> dict[str, Any]:
    """`data(panel="cpu")`: what the browser's code reads as `element.dataset.panel`."""
    return {f"data-{name}": value for name, value in values.items()}


def draw(app: Dash, function: str, source: Any, *, at_first: bool = False) -> None:
    """Whenever the store `source` has new data, give it to `function` of assets/bridge.js.

    `at_first`: the data that the page comes with, too. When a page takes another's place, Dash
    calls for it only what has an output: this one has one that never changes.
    """
    outputs = [Output(source, "clear_data")] if at_first else []
    app.clientside_callback(  # type: ignore[no-untyped-call]
        ClientsideFunction("novacron", function),
        *outputs,
        Input(source, "data"),
        prevent_initial_call=not at_first,
    )
