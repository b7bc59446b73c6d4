"""What the Agent section makes of an agent's figures, as the browser computes it."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Page

from browser import Open

pytestmark = pytest.mark.browser

NOW, SECOND, MINUTE = 1e9, 1e3, 60e3  # in milliseconds
KVM, THERE = {"novacron.source": "kvm"}, {"novacron.destination": "there"}
ERRORS, AGE = "novacron.agent.scrape.errors", "novacron.agent.spool.age"
AGENT = {"seen": NOW - 5 * SECOND, "staleAfter": 30 * SECOND, "clock": 0, "clockIsWrong": False}
AWAY = {"agent": {**AGENT, "seen": NOW - 40 * MINUTE}, "host": NOW - 40 * MINUTE}
GREEN, GREY = "Everything is measured and sent", "Reporting"


def figure(metric: str, of: dict[str, str], ago: float, value: float = 0, rate: float = 0) -> Any:
    return [metric, of, NOW - ago, value, rate]


def everything(ago: float) -> list[Any]:
    return [figure(ERRORS, KVM, ago), figure(AGE, THERE, ago)]


def said(page: Page, figures: list[Any], how: dict[str, Any]) -> tuple[str, str]:
    """The word beside the title, and the first problem, or what stands for missing tables."""
    script = """async ([agent, figures, context]) => {
        const { AgentFigures, problems } = await import("/assets/agent_state.js");
        const { describe, whyNothing } = await import("/assets/agent_section.js");
        const known = new AgentFigures();
        known.load(figures);
        const summary = known.summary(agent, context);
        const troubles = problems(summary, context.now);
        const isEmpty = !summary.sources.length && !summary.destinations.length;
        const text = isEmpty ? whyNothing(summary, context.now) : "";
        return [describe(summary, troubles.length, context.now)[2], troubles[0]?.[0] ?? text];
    }"""
    context = {"host": NOW - 2 * SECOND, "late": 0, "now": NOW, **how}
    word, text = page.evaluate(script, [{**AGENT, **context.pop("agent", {})}, figures, context])
    return word, text


MEMORY = figure("process.memory.usage", {}, 5 * SECOND)


@pytest.mark.parametrize(
    ("figures", "how", "word", "text"),
    [
        (everything(5 * SECOND), {}, GREEN, ""),
        ([MEMORY], {}, GREY, "The agent does not tell here how it measures and sends"),
        ([figure(AGE, THERE, 5 * SECOND)], {}, GREY, ""),
        # Every five minutes: what it told then still holds
        ([MEMORY, *everything(4 * MINUTE)], {}, GREEN, ""),
        ([MEMORY, figure(ERRORS, KVM, 4 * MINUTE, 9, 0.1)], {}, "1 problem", "Scrapes of kvm fail"),
        # A source of settings that were changed since
        (
            [figure(ERRORS, {"novacron.source": "old"}, MINUTE, 9, 0.1), *everything(0)],
            {},
            GREEN,
            "",
        ),
        # All left out: its last time stands still, the host's does not
        ([], {"agent": {"seen": NOW - 40 * MINUTE}}, GREY, "The agent tells nothing of itself"),
        ([], AWAY, "Not reporting", "The agent was last heard of 40 min ago"),
        (everything(20 * MINUTE), {}, GREY, "The agent tells nothing of itself"),
        # Another sender tells of the host: the agent may be gone
        (everything(2 * MINUTE), {}, GREY, ""),
        # The socket is away
        (everything(MINUTE), {"host": 0, "agent": {"seen": NOW - MINUTE}}, "Not reporting", "The"),
        (everything(MINUTE), {"host": 0, "late": MINUTE}, GREEN, ""),
    ],
)
def test_it_says_no_more_than_is_known(
    ui: str, visit: Open, figures: list[Any], how: dict[str, Any], word: str, text: str
) -> None:
    told = said(visit(ui).page, figures, how)

    assert (told[0], told[1][: len(text)]) == (word, text)


def test_of_an_agent_that_is_away_it_is_not_said_that_settings_leave_its_metrics_out(
    ui: str, visit: Open
) -> None:
    script = """async ([agent, now]) => {
        const { whyNothing } = await import("/assets/agent_section.js");
        return whyNothing({ ...agent, tells: false }, now);
    }"""
    away = [{**AGENT, "seen": NOW - 40 * MINUTE}, NOW]
    assert visit(ui).page.evaluate(script, away) == (
        "Nothing was heard of the agent for 40 min: what it told before is too old to be shown."
    )
