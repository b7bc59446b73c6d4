"""The progress of an operation on standard error: a bar on a terminal, else a line per change."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from novacron_cli.orders.following import Operation, Rows, View
from novacron_cli.orders.words import name_of, state_word, tally, title, why
from novacron_cli.output import plain
from novacron_contract.commands import State

_AT_WORK = 8  # VMs that are named
_EACH = 20  # commands of an operation that are told one by one
_PER_SECOND = 5


def can_draw() -> bool:
    return sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


@contextmanager
def progress(*, quiet: bool) -> Iterator[View]:
    """`quiet`: nothing but what stands in the way, unless somebody looks on."""
    if can_draw():
        bar = Bar()
        with Live(
            console=_console(),
            get_renderable=bar.rendered,
            refresh_per_second=_PER_SECOND,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        ):
            yield bar
    else:
        yield Lines(quiet)


def _console() -> Console:
    return Console(file=sys.stderr, markup=False, highlight=False, emoji=False)


class Bar:
    """Two or three lines that are drawn again and again."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._operation: Operation | None = None
        self._commands: Rows = ()
        self._problem = self._held = ""

    def wanted(self, operation: Operation) -> Mapping[str, str | int] | None:
        if not operation["commands"].get(State.RUNNING):
            return None
        return {"state": State.RUNNING.value, "limit": _AT_WORK}

    def show(self, operation: Operation, commands: Rows) -> None:
        self._operation, self._commands = operation, commands

    def away(self, problem: str) -> None:
        self._problem = f"{plain(problem)}; the operation goes on, and is asked for again"

    def back(self) -> None:
        self._problem = ""

    def held(self, why: str) -> None:
        self._held = plain(why)

    def rendered(self) -> RenderableType:
        operation = self._operation
        if operation is None:
            return Text("")
        lines: list[RenderableType] = [self._head(operation), _cut(tally(operation))]
        if self._commands:
            lines.append(_cut(_at_work(operation, self._commands)))
        if told := self._problem or self._held:
            lines.append(Text(told, style="yellow"))
        return Group(*lines)

    def _head(self, operation: Operation) -> RenderableType:
        ended, total = operation["ended"], operation["total"]
        line = Table.grid(padding=(0, 2, 0, 0), expand=True)
        line.add_column(no_wrap=True)
        line.add_column(ratio=1)
        for _ in range(2):
            line.add_column(no_wrap=True, justify="right")
        failed = operation["failures"] > 0
        bar = ProgressBar(
            total=max(total, 1),
            completed=ended,
            complete_style="yellow" if failed else "cyan",
            finished_style="yellow" if failed else "green",
        )
        seconds = int(time.monotonic() - self._began)
        clock = f"{seconds // 60}:{seconds % 60:02}"
        line.add_row(Text(title(operation), style="bold"), bar, Text(f"{ended}/{total}"),
                     Text(clock, style="dim"))  # fmt: skip
        return line


def _at_work(operation: Operation, commands: Rows) -> Text:
    line = Text("at work: ", style="dim")
    names = (Text(name_of(one, 24) + _share(one), style="default") for one in reversed(commands))
    line.append_text(Text(", ").join(names))
    more = operation["commands"][State.RUNNING] - len(commands)
    return line.append(f" and {more} more") if more > 0 else line


def _share(command: Mapping[str, Any]) -> str:
    share = command["share"]
    return "" if share is None else f" {100 * share:.0f} %"


def _cut(text: Text) -> Text:
    text.no_wrap, text.overflow = True, "ellipsis"
    return text


class Lines:
    """For logs: each command of few, the counts of many."""

    def __init__(self, quiet: bool) -> None:
        self._quiet = quiet
        self._states: dict[str, str] = {}
        self._told = self._held = ""

    def wanted(self, operation: Operation) -> Mapping[str, str | int] | None:
        is_few = operation["total"] <= _EACH and not self._quiet
        return {"limit": _EACH} if is_few else None

    def show(self, operation: Operation, commands: Rows) -> None:
        if self._quiet:
            return
        for command in reversed(commands):  # the API has the newest first
            if self._states.get(command["id"]) != command["state"]:
                self._states[command["id"]] = command["state"]
                _say(_line(command))
        if operation["total"] > _EACH:
            line = f"{operation['ended']} of {operation['total']} ended: {tally(operation).plain}"
            if line != self._told:
                _say(line)
            self._told = line

    def away(self, problem: str) -> None:
        _say(f"{plain(problem)}; the operation goes on, and is asked for again")

    def back(self) -> None:
        _say("the collector answers again")

    def held(self, why: str) -> None:
        if why and why != self._held:
            _say(plain(why))
        self._held = why


def _line(command: Mapping[str, Any]) -> str:
    state = State(command["state"])
    said = why(command) if state.is_final and state is not State.SUCCEEDED else ""
    told = f"{plain(command['verb'], 40)} {name_of(command)}: {state_word(state)}"
    return f"{told}: {plain(said)}" if said else told


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
