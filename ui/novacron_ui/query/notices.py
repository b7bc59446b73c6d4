"""What the operator should know and do, as the collector tells it on /v1/status."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

import httpx

from novacron_contract.errors import ConfigError
from novacron_ui.collector import NO_TOKEN, OwnToken

log = logging.getLogger(__name__)

MAX_NOTICES = 20


@dataclass(frozen=True)
class Notices:
    collector_url: str
    http: httpx.Client
    token: OwnToken = NO_TOKEN

    def current(self) -> list[dict[str, str]]:
        """The worst first. A collector that does not answer is a notice itself."""
        try:
            url = f"{self.collector_url.rstrip('/')}/v1/status"
            answer = self.http.get(url, headers=self.token.headers())
            if answer.status_code in (401, 403):
                return [self._closed()]
            answer.raise_for_status()
            return _read(answer.json())
        except (httpx.HTTPError, ValueError, ConfigError) as err:
            log.warning("the collector's status: %s", err)
            return [self._away()]

    def _closed(self) -> dict[str, str]:
        message = (
            f"The collector at {self.collector_url} does not let the web UI in, so numbers do not "
            "move by themselves: make a token with `novacron token create ui --grant viewer`, and "
            "name its file in ui.toml: [collector] token_file"
        )
        return {"severity": "critical", "message": message}

    def _away(self) -> dict[str, str]:
        message = (
            f"The collector at {self.collector_url} does not answer: what is shown here gets old; "
            "check that novacron-collector runs"
        )
        return {"severity": "critical", "message": message}


def _read(status: Any) -> list[dict[str, str]]:
    """
    Raises:
        ValueError: this is not a collector's status.
    """
    match status:
        case {"notices": [*notices]}:
            return [_notice(raw) for raw in notices[:MAX_NOTICES]]
    raise ValueError("it has no notices")


def _notice(raw: Any) -> dict[str, str]:
    match raw:
        case {"severity": "critical" | "warning" | "info" as severity, "message": str(message)}:
            return {"severity": severity, "message": message}
    raise ValueError(f"not a notice: {raw!r:.100}")
