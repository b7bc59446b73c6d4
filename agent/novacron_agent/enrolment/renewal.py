"""A thread that renews the agent's certificate in time, and sees when the agent joins."""

from __future__ import annotations

import logging
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from novacron_agent.enrolment.membership import Membership, read_membership
from novacron_contract.errors import ConfigError
from novacron_otlp.answer import one_line

log = logging.getLogger(__name__)

_LOOK_EVERY_S = 5.0
_PATIENCE_S = 60.0
_FIRST_WAIT_S, _LONGEST_WAIT_S = 30.0, 3600.0

Renew = Callable[[Path], str]  # why it failed, or ""


class Renewal:
    """`joined` is called when the agent joined a collector, or another one, since the start."""

    def __init__(
        self,
        folder: Path,
        joined: Callable[[], None],
        renew: Renew | None = None,
        look_every_s: float = _LOOK_EVERY_S,
    ) -> None:
        self._folder, self._joined = folder, joined
        self._renew = renew or renewed_apart
        self._look_every_s = look_every_s
        self._stopping = threading.Event()
        self._wait_s, self._not_before = _FIRST_WAIT_S, 0.0
        self._trouble = ""
        self._thread = threading.Thread(target=self._run, name="renewal", daemon=True)

    def start(self) -> None:
        self._where = _where(self._read())
        self._thread.start()

    def stop(self) -> None:
        """It is not waited for: a renewal that is under way ends by itself."""
        self._stopping.set()

    def _run(self) -> None:
        while not self._stopping.wait(self._look_every_s):
            try:
                self._look()
            except Exception:  # the outermost edge of this thread: it goes on
                log.exception("%s: looking after the certificate failed", self._folder)

    def _look(self) -> None:
        membership = self._read()
        if _where(membership) != self._where:
            self._where = _where(membership)
            self._joined()
        if membership is None or time.time() < membership.renew_at():
            return
        if time.monotonic() >= self._not_before:
            self._try(membership)

    def _try(self, membership: Membership) -> None:
        why = self._renew(self._folder)
        if not why:
            self._wait_s, self._not_before = _FIRST_WAIT_S, 0.0
            log.info("%s: the certificate was renewed", self._folder)
            return
        left_s = membership.ends - time.time()
        self._wait_s = min(2 * self._wait_s, _LONGEST_WAIT_S, max(left_s / 4, _FIRST_WAIT_S))
        # Jitter: agents that could not renew together must not come back together
        self._not_before = time.monotonic() + self._wait_s * random.uniform(0.5, 1.0)
        if left_s <= 0:
            why = f"{why}; it has ended: join again with --again"
        log.warning("%s: the certificate was not renewed: %s; trying again", self._folder, why)

    def _read(self) -> Membership | None:
        try:
            membership = read_membership(self._folder)
        except ConfigError as err:
            if str(err) != self._trouble:
                log.error("%s", err)
            self._trouble = str(err)
            return None
        self._trouble = ""
        return membership


def renewed_apart(folder: Path) -> str:
    """In a process of its own, as what makes keys takes 10 MB; says why it failed, or ""."""
    command = [sys.executable, "-m", "novacron_agent.enrolment.renew", str(folder)]
    try:
        ended = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_PATIENCE_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as err:
        return one_line(str(err))
    if ended.returncode == 0:
        return ""
    lines = ended.stderr.decode("utf-8", "replace").strip().splitlines() or ["no reason given"]
    return one_line(lines[-1])


def _where(membership: Membership | None) -> tuple[str, str] | None:
    return None if membership is None else (membership.url, membership.agent_id)
