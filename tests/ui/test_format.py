"""How times are written, as the browser does it."""

from __future__ import annotations

import pytest

from browser import Open

pytestmark = pytest.mark.browser


def test_a_day_of_another_year_is_not_today(ui: str, visit: Open) -> None:
    script = """async ([one, other]) => {
        const { clock } = await import("/assets/format.js");
        return clock(new Date(one).getTime(), new Date(other).getTime());
    }"""
    page = visit(ui).page
    today, before = "2026-11-30T09:00", "2025-11-30T09:00"
    assert page.evaluate(script, [today, today]) == "09:00"
    assert page.evaluate(script, ["2026-11-29T09:00", today]) == "Nov 29, 09:00"
    assert page.evaluate(script, [before, today]) == "Nov 30, 2025, 09:00"
