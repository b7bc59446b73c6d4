"""novacron status: how NovaCron is doing, and what to do."""

from __future__ import annotations

from argparse import Namespace
from typing import Any

from rich.text import Text

from novacron_cli.command import Commands, add_command, collector_of
from novacron_cli.output import coloured, console, plain, print_json
from novacron_contract.units import duration, readable

_HELP = "how NovaCron is doing, and what to do about it"
_EXAMPLES = """\
examples:
  novacron status
  novacron status --json | jq .notices

The exit code is 1 when something is critical."""


def add_to(commands: Commands) -> None:
    add_command(commands, "status", _run, _HELP, _EXAMPLES)


def _run(args: Namespace) -> int:
    status = collector_of(args).get("/v1/status")
    if args.json:
        print_json(status)
    else:
        _show(status)
    return 1 if any(notice["severity"] == "critical" for notice in status["notices"]) else 0


def _show(status: dict[str, Any]) -> None:
    out = console()
    out.print(f"NovaCron {plain(status['version'])}, up {duration(status['uptime_s'])}")
    for label, key in (("Hosts", "hosts"), ("VMs", "vms"), ("Agents", "agents")):
        out.print(f"{label:8}", _counts(status[key]), sep="")
    stored = status["telemetry"]
    if stored:
        samples, series = readable(stored["samples"], ""), readable(stored["series"], "")
        room = f"{readable(stored['disk_free'], 'By')} of {readable(stored['disk_total'], 'By')}"
        size = readable(stored["bytes"], "By")
        out.print(f"Stored  {samples} samples of {series} series in {size}; {room} free")
    for notice in status["notices"]:
        out.print(coloured(notice["severity"]), ": ", plain(notice["message"]), sep="")


def _counts(counts: dict[str, int]) -> Text:
    parts = Text(str(counts["total"]))
    for state in ("fresh", "stale", "gone"):
        if counts[state]:
            parts.append(", " if "(" in parts.plain else " (").append(f"{counts[state]} ")
            parts.append_text(coloured(state))
    return parts.append(")") if counts["total"] else parts
