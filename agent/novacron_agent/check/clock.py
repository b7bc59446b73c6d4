"""Whether the machine's clock can be trusted: who is far ahead is refused by the collector."""

from __future__ import annotations

import email.utils
from collections.abc import Callable

from novacron_agent.finding import Finding, fail, ok, warn
from novacron_agent.host.clock import Timex, ask_kernel

_UNSYNCHRONIZED = 5  # TIME_ERROR of adjtimex(2)
_REFUSED_S = 300.0  # the collector refuses what is ten minutes ahead
_SUSPECT_S = 30.0
_HALF_S = 0.5  # an HTTP date is cut to seconds

_FIX = "install chrony (apt-get install chrony), or let it reach a time server"


def check_clock(ask: Callable[[], tuple[int, Timex] | None] = ask_kernel) -> list[Finding]:
    """What the kernel was told by whoever sets the clock."""
    answer = ask()
    if answer is None:
        return [ok("clock", "this sandbox forbids to ask for it")]
    state, clock = answer
    if state == _UNSYNCHRONIZED:
        return [warn("clock", "nothing keeps it synchronized", _FIX)]
    return [ok("clock", f"synchronized, at most {clock.maxerror / 1e6:.3g} s off")]


def check_offset(what: str, date: str, now: float) -> list[Finding]:
    """This machine's clock against the date in a destination's answer, where it has one."""
    try:
        offset = now - email.utils.parsedate_to_datetime(date).timestamp() - _HALF_S
    except (ValueError, OverflowError):
        return []
    name = f"{what}: clock"
    seconds = f"{abs(offset):.0f} s"
    where = f"this machine is {seconds} {'ahead of' if offset > 0 else 'behind'} it"
    if abs(offset) > _REFUSED_S:
        return [fail(name, f"{where}, and what is 10 min ahead is refused", _FIX)]
    if abs(offset) > _SUSPECT_S:
        return [warn(name, where, _FIX)]
    return [ok(name, "the same as here")]
