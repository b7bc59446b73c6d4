"""Whether the agent has joined a collector, and how long that holds."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

from novacron_agent.enrolment.membership import read_membership, ssl_context
from novacron_agent.finding import Finding, fail, ok, warn
from novacron_contract.errors import ConfigError

_AGAIN = "join again: `novacron-agent join --again`"


def check_identity(folder: Path, clock: Callable[[], float] = time.time) -> list[Finding]:
    what = f"identity {folder}"
    if folder.exists() and not os.access(folder, os.R_OK | os.X_OK):
        return [fail(what, "cannot be read", "ask as the user of the service, or as root")]
    try:
        joined = read_membership(folder)
        if joined is None:
            return [ok(what, "has joined no collector: commands are not taken")]
        ssl_context(folder)
    except ConfigError as err:
        return [fail(what, str(err), _AGAIN)]
    now = clock()
    ends = time.strftime("%Y-%m-%d %H:%M", time.localtime(joined.ends))
    if now >= joined.ends:
        return [fail(what, f"its certificate ended {ends}", _AGAIN)]
    late_s = now - (joined.renew_at() + (joined.ends - joined.renew_at()) / 4)
    if late_s > 0:
        why = f"its certificate is not renewed and ends {ends}"
        return [warn(what, why, "look for the reason in the agent's log")]
    return [ok(what, f"joined {joined.url}, certificate until {ends}")]
