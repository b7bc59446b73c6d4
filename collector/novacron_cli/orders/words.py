"""Operations and their commands in words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from rich.text import Text

from novacron_cli.output import plain
from novacron_contract.commands import State
from novacron_contract.units import duration

STYLES = {
    State.SUCCEEDED: "green",
    State.RUNNING: "cyan",
    State.FAILED: "red",
    State.REJECTED: "red",
    State.OUTCOME_UNKNOWN: "bold red",
    State.EXPIRED: "yellow",
    State.CANCELLED: "yellow",
}
# As people look for them: what is over, what is under way, what waits.
_ORDER = (
    *(State.SUCCEEDED, State.FAILED, State.REJECTED, State.EXPIRED, State.CANCELLED),
    *(State.OUTCOME_UNKNOWN, State.RUNNING, State.ACCEPTED, State.DELIVERED, State.QUEUED),
)


def verbs_of(steps: Iterable[Mapping[str, Any]]) -> str:
    return " + ".join(plain(step["verb"], 40) for step in steps)


def counted(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def title(operation: Mapping[str, Any]) -> str:
    """Such as "start 12 VMs", "stop + start: 24 commands"."""
    verbs, total = verbs_of(operation["steps"]), operation["total"]
    if len(operation["steps"]) == 1:
        return f"{verbs} {counted(total, 'VM')}"
    return f"{verbs}: {counted(total, 'command')}"


def state_word(state: str) -> str:
    return plain(state, 40).replace("_", " ")


def styled(state: str) -> Text:
    return Text(state_word(state), style=STYLES.get(state, ""))  # type: ignore[call-overload]


def counts(operation: Mapping[str, Any]) -> list[tuple[State, int]]:
    """Of its commands by state, without those of which there are none."""
    told = operation["commands"]
    return [(state, told[state]) for state in _ORDER if told.get(state)]


def tally(operation: Mapping[str, Any]) -> Text:
    """Such as "12 succeeded · 1 failed · 7 queued"."""
    parts = (Text(f"{count} {state_word(state)}", style=STYLES.get(state, ""))
             for state, count in counts(operation))  # fmt: skip
    return Text(" · ").join(parts)


def took(operation: Mapping[str, Any]) -> str:
    """From being asked for to the end, by the collector's clock."""
    if operation["finished"] is None:
        return ""
    begun, end = (datetime.fromisoformat(operation[name]) for name in ("created", "finished"))
    return duration((end - begun).total_seconds())


def why(command: Mapping[str, Any]) -> str:
    said = command["error"] or command["text"]
    if command["late"]:
        said = f"{state_word(command['late'])}, as its agent said later. {said}"
    return str(said).strip()


def name_of(command: Mapping[str, Any], longest: int = 40) -> str:
    return plain(command["vm"]["name"] or command["vm"]["id"], longest)
