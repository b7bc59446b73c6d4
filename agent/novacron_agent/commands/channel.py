"""The agents' channel to the collector: what is asked and answered there."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

from novacron_contract.commands import Report
from novacron_contract.errors import NovaCronError, Unavailable
from novacron_otlp.answer import one_line, wait_of

_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_ROOT = "/v1/agents/self"
_MAX_ANSWER = 2**20
_SLACK_S = 10.0  # an answer may take so much longer than the collector was asked to wait
_CONNECT_S = 5.0
_MAX_IDS = 1000
_WHO_ARE_YOU = 401


class ChannelError(Unavailable):
    """`status` of the answer, 0 where there was none; `after_s`: Retry-After."""

    def __init__(self, sentence: str, answered: int = 0, after_s: float = 0.0) -> None:
        super().__init__(sentence)
        self.answered, self.after_s = answered, after_s


@dataclass(frozen=True, slots=True)
class Polled:
    """`orders` as they came: who reads them knows what becomes of those that are none."""

    orders: Sequence[Any] = ()
    cancelled: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Taken:
    reports: Sequence[tuple[str, int]] = field(default=())
    unknown: Sequence[str] = field(default=())


@dataclass(frozen=True, slots=True)
class Way:
    """`connect` makes a client that knows address, certificate and authority; `state` is another
    one as soon as these are."""

    connect: Callable[[], httpx.Client]
    state: Callable[[], object] = lambda: None


class Channel:
    """For one thread. Every method raises ChannelError, and the next call connects anew."""

    def __init__(self, way: Way) -> None:
        self._way = way
        self._client: httpx.Client | None = None
        self._state: object = None
        self._is_stale = False

    def adopt(self, way: Way) -> None:
        """From the next request on."""
        self._way, self._is_stale = way, True

    @property
    def is_new(self) -> bool:
        """Nothing was said yet on this connection, or the last that was said failed."""
        return self._client is None or self._is_stale

    def hello(self, about: Mapping[str, Any]) -> None:
        self._ask("POST", "/hello", body=about)

    def poll(self, instance: str, wait_s: float, limit: int) -> Polled:
        asked = {"wait": f"{wait_s:g}", "max": str(limit), "instance": instance}
        answer = self._ask("GET", "/commands", params=asked, patience_s=wait_s + _SLACK_S)
        orders, cancelled = answer.get("orders"), answer.get("cancelled")
        if not isinstance(orders, list) or not isinstance(cancelled, list):
            raise self._failed("the answer to a poll has no lists of orders and of cancelled ones")
        return Polled(orders[:_MAX_IDS], [one for one in cancelled[:_MAX_IDS] if is_id(one)])

    def report(self, instance: str, reports: Sequence[Report]) -> Taken:
        told = [report.as_json() for report in reports]
        answer = self._ask("POST", "/events", body={"instance": instance, "reports": told})
        match answer:
            case {"taken": list(taken), "unknown": list(unknown)}:
                pairs = [
                    (one["command_id"], one["number"])
                    for one in taken[:_MAX_IDS]
                    if isinstance(one, dict)
                    and {"command_id", "number"} <= one.keys()
                    and is_id(one["command_id"])
                    and isinstance(one["number"], int)
                ]
                return Taken(pairs, [one for one in unknown[:_MAX_IDS] if is_id(one)])
        raise self._failed("the answer to reports does not say which were taken")

    def journal(self, instance: str, entries: Sequence[Mapping[str, str]]) -> None:
        self._ask("POST", "/journal", body={"instance": instance, "entries": list(entries)})

    def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.close()

    def _ask(
        self,
        method: str,
        path: str,
        *,
        body: Mapping[str, Any] | None = None,
        params: Mapping[str, str] | None = None,
        patience_s: float = _SLACK_S,
    ) -> dict[str, Any]:
        def ask() -> dict[str, Any]:
            deadline = time.monotonic() + patience_s + _CONNECT_S
            timeout = httpx.Timeout(patience_s, connect=_CONNECT_S)
            client = self._client or self._open()
            with client.stream(
                method, _ROOT + path, json=body, params=params, timeout=timeout
            ) as response:
                return self._meaning(response, _read(response, deadline))

        try:
            return self._twice(ask)
        except httpx.HTTPError as err:
            raise self._failed(one_line(str(err)) or type(err).__name__) from err
        except (NovaCronError, OSError, ValueError) as err:  # files of the identity; no JSON
            if isinstance(err, ChannelError):
                raise
            raise self._failed(one_line(str(err))) from err

    def _twice(self, ask: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """All requests may be made again. A connection that was idle may have been ended by the
        other side, and a certificate renewed."""
        if self._is_stale or (self._client is not None and self._state != self._way.state()):
            self.close()
        reused = self._client is not None
        try:
            return ask()
        except httpx.TimeoutException:
            raise
        except (httpx.TransportError, ChannelError) as err:
            is_old = isinstance(err, httpx.TransportError) or err.answered == _WHO_ARE_YOU
            if not (reused and is_old):
                raise
            self.close()
        return ask()

    def _open(self) -> httpx.Client:
        self._is_stale = False
        self._state = self._way.state()
        self._client = self._way.connect()
        return self._client

    def _meaning(self, response: httpx.Response, content: bytes) -> dict[str, Any]:
        if not response.is_success:
            said = one_line(content.decode("utf-8", "replace"))
            after = wait_of(response.headers.get("Retry-After", ""))
            reason = f"HTTP {response.status_code} {said}".strip()
            raise self._failed(reason, response.status_code, after)
        answer = json.loads(content or b"{}")
        if not isinstance(answer, dict):
            raise self._failed("the answer is no object")
        return answer

    def _failed(self, sentence: str, status: int = 0, after_s: float = 0.0) -> ChannelError:
        self.close()
        return ChannelError(sentence, status, after_s)


def _read(response: httpx.Response, deadline: float) -> bytes:
    content = b""
    for part in response.iter_raw():
        content += part
        if len(content) > _MAX_ANSWER:
            raise httpx.ReadError("the answer is too large")
        if time.monotonic() > deadline:
            raise httpx.ReadTimeout("the answer does not end")
    return content


def is_id(raw: object) -> bool:
    return isinstance(raw, str) and _ID.fullmatch(raw) is not None
