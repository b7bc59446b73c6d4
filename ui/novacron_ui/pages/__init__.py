"""The pages: each module has one page's layout and its own callbacks."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from dash.development.base_component import Component

from novacron_contract.errors import NovaCronError, Unavailable

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class View:
    """What a path leads to: the document's title and the page."""

    title: str
    content: Component


def answer(ask: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """The service's answer, or {"error": {title, detail}} where the page shows what is wrong."""
    try:
        return ask()
    except Unavailable as err:
        log.warning("not answered: %s", err)
        return {"error": {"title": "The store does not answer", "detail": f"{_sentence(err)}"}}
    except NovaCronError as err:
        log.warning("not answered: %s", err)
        return {"error": {"title": "This cannot be shown", "detail": f"{_sentence(err)}"}}


def _sentence(err: NovaCronError) -> str:
    text = " ".join(str(err).split())[:300].rstrip(".")
    return f"{text[:1].upper()}{text[1:]}."
