"""The tables [[metrics]] of agent.toml: which metrics are sent, and how often."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from novacron_agent.readings import Reading, Series, machine_of
from novacron_contract.errors import ConfigError
from novacron_contract.metrics import BY_NAME
from novacron_contract.settings import setting

_NEVER, _ALWAYS = -1, 0
_PATTERN = re.compile(r"[A-Za-z0-9._*-]{1,200}")
_TOLD_ONCE = {"vm.state"}  # a state that was left is told in one reading: it is never rationed
_PLANS = 10_000  # forms of readings that are known at once
_FORGET_FROM = 10_000  # series whose last time is known


def pattern(text: str) -> str:
    """
    Raises:
        ConfigError: it is none, or no metric of an agent has such a name.
    """
    if not _PATTERN.fullmatch(text):
        raise ConfigError(f'expected a name such as "system.network.*", got {text!r}')
    if not any(fnmatch.fnmatchcase(name, text) for name in BY_NAME):
        raise ConfigError(f"no metric of the agent is named {text!r}")
    return text


@dataclass(frozen=True, kw_only=True)
class MetricRule:
    """[[metrics]]"""

    match: str = setting(check=pattern, doc="Names it is about; `*` is any text. The last counts")
    enabled: bool = setting(True, doc="`false`: not sent")
    every: float | None = setting(
        None, unit="s", minimum=1, maximum=86400, doc="Sent once in such a time (`vm.state` always)"
    )

    def __post_init__(self) -> None:
        if not self.enabled and self.every is not None:
            raise ConfigError("either enabled = false or every")

    @property
    def decision(self) -> int:
        """Nanoseconds between two, or one of the words above."""
        if not self.enabled:
            return _NEVER
        return _ALWAYS if self.every is None else int(self.every * 1e9)


# What of a reading is sent: each place, and the time between two. None: all of it, always.
_Plan = list[tuple[int, int]] | None


class Selection:
    """What every name means is decided once, and so is what is sent of a reading of some form."""

    def __init__(self, rules: Sequence[MetricRule]) -> None:
        self._decisions: dict[str, int] = {}
        for rule in rules:
            names = fnmatch.filter(BY_NAME, rule.match)
            self._decisions.update(dict.fromkeys(names, rule.decision))
            if rule.every is not None:
                self._decisions.update(dict.fromkeys(_TOLD_ONCE & {*names}, _ALWAYS))
        self._plans: dict[tuple[Series, ...], _Plan] = {}
        self._sent: dict[tuple[object, Series], int] = {}  # the span of time it was last sent in
        self._forget_from = _FORGET_FROM

    def of(self, readings: list[Reading], *, rarely: bool = True) -> list[Reading]:
        """Without what is not sent, or not sent now; changes are sent whenever they come."""
        if not self._decisions:
            return readings
        if len(self._sent) > self._forget_from:
            self._forget(readings)
        return [self._of(reading, rarely=rarely) for reading in readings]

    def _of(self, reading: Reading, *, rarely: bool) -> Reading:
        key = tuple(reading.series)
        if key not in self._plans:
            if len(self._plans) >= _PLANS:
                self._plans.clear()
            self._plans[key] = self._plan(key)
        plan = self._plans[key]
        if plan is None:
            return reading
        machine = machine_of(reading.resource) if rarely else None
        chosen = Reading(reading.resource, reading.time_ns, reading.start_ns)
        for at, every_ns in plan:
            one = key[at]
            if (
                every_ns
                and rarely
                and not self._is_due((machine, one), reading.time_ns // every_ns)
            ):
                continue
            chosen.series.append(one)
            chosen.values.append(reading.values[at])
        return chosen

    def _plan(self, series: Iterable[Series]) -> _Plan:
        plan = [(at, self._decisions.get(of.metric.name, 0)) for at, of in enumerate(series)]
        if all(every_ns == _ALWAYS for _at, every_ns in plan):
            return None
        return [(at, every_ns) for at, every_ns in plan if every_ns != _NEVER]

    def _is_due(self, of: tuple[object, Series], span: int) -> bool:
        """The first in each span of time: what comes late or early is neither lost nor doubled."""
        if self._sent.get(of) == span:
            return False
        self._sent[of] = span
        return True

    def _forget(self, readings: Iterable[Reading]) -> None:
        """Machines come and go. What was forgotten is sent once too often."""
        now_ns = max((reading.time_ns for reading in readings), default=0)
        self._sent = {
            of: span
            for of, span in self._sent.items()
            if span + 2 >= now_ns // self._decisions[of[1].metric.name]
        }
        self._forget_from = max(_FORGET_FROM, 2 * len(self._sent))
