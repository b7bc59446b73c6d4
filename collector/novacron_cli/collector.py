"""The collector's REST API, as the command line asks it."""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import httpx

from novacron_contract.errors import ConfigError, NovaCronError, Unavailable
from novacron_contract.listening import is_loopback

DEFAULT_URL = "http://127.0.0.1:8440"
TIMEOUT_S = 120.0
_BEFORE_IT = (502, 503, 504)  # of a proxy whose collector is away
_LATER = (429, 503)


class Failed(NovaCronError):
    """The collector answered, and its answer is no."""


class NotAllowed(Failed):
    """Who asks is not logged in, or may not."""


class NotNow(Failed):
    """The collector cannot at the moment, and nothing was done."""


class Lost(Unavailable):
    """What was asked may have arrived, and no answer came."""


class OutcomeUnknown(NovaCronError):
    """Nobody can tell whether something was done."""


@dataclass(frozen=True)
class Collector:
    """`credential` is a token or a session; empty: none is sent. `ca_file`: trusted in place of the
    system's authorities. `connected`: what is asked with; None: a new connection each time."""

    url: str = DEFAULT_URL
    credential: str = field(default="", repr=False)
    ca_file: Path | None = None
    connected: httpx.Client | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigError(f"--url: expected http://HOST:PORT, got {self.url!r}")
        if self.credential:
            require_private(self.url)

    @contextmanager
    def lasting(self) -> Iterator[Collector]:
        """The same for many questions, which share a connection."""
        with self._new_client() as client:
            yield replace(self, connected=client)

    def get(self, path: str, query: Mapping[str, str | int | None] | None = None) -> Any:
        """
        Raises:
            Failed: the collector's own sentence says why.
            Unavailable: it does not answer.
        """
        asked = {name: value for name, value in (query or {}).items() if value is not None}
        return _json(self._ask("GET", path, params=asked))

    def post(self, path: str, body: Any, **query: str) -> httpx.Response:
        """
        Raises:
            Failed: the collector's own sentence says why.
            Unavailable: it does not answer.
        """
        return self._ask("POST", path, params=query, json=body)

    def ask(self, path: str, body: Any) -> Any:
        """A POST that changes nothing.

        Raises:
            Failed: the collector's own sentence says why.
            Unavailable: it does not answer.
        """
        return _json(self._ask("POST", path, json=body))

    def change(
        self,
        method: str,
        path: str,
        body: Any = None,
        reason: str | None = None,
        key: str | None = None,
    ) -> Any:
        """A POST, PUT, PATCH or DELETE that is put on record with its reason. With the same `key`
        the same is done once.

        Raises:
            Failed: the collector's own sentence says why.
            Unavailable: it does not answer, and was not told.
            OutcomeUnknown: it may have been told, and no answer came.
        """
        sent: dict[str, Any] = {"params": {"reason": reason} if reason else {}}
        if body is not None:
            sent["json"] = body
        if key is not None:
            sent["headers"] = {"Idempotency-Key": key}
        try:
            return _json(self._ask(method, path, **sent))
        except Lost as err:
            raise OutcomeUnknown(f"{err}: whether it was done, nobody can tell") from err

    @contextmanager
    def stream(self, path: str, query: Mapping[str, Any]) -> Iterator[httpx.Response]:
        """An answer that is read while it comes; lists in `query` are names given several times.

        Raises:
            Failed: the collector's own sentence says why.
            Unavailable: it does not answer, or no longer.
        """
        asked = {name: value for name, value in query.items() if value is not None}
        with self._errors(), self._client() as client:
            url = f"{self.url.rstrip('/')}{path}"
            with client.stream("GET", url, params=asked) as answer:
                if answer.status_code != httpx.codes.OK:
                    answer.read()
                    raise _failure(answer)
                yield answer

    def _ask(self, method: str, path: str, **request: Any) -> httpx.Response:
        with self._errors(), self._client() as client:
            answer = client.request(method, f"{self.url.rstrip('/')}{path}", **request)
        if not answer.is_success:
            raise _failure(answer)
        return answer

    @contextmanager
    def _client(self) -> Iterator[httpx.Client]:
        if self.connected is not None:
            yield self.connected
            return
        with self._new_client() as client:
            yield client

    def _new_client(self) -> httpx.Client:
        headers = {"Authorization": f"Bearer {self.credential}"} if self.credential else {}
        verify: ssl.SSLContext | bool = True
        if self.ca_file is not None:
            try:
                verify = ssl.create_default_context(cafile=self.ca_file)
            except (OSError, ssl.SSLError) as err:
                raise ConfigError(f"--ca-file: {self.ca_file}: cannot be used: {err}") from err
        return httpx.Client(timeout=TIMEOUT_S, trust_env=False, headers=headers, verify=verify)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError) as err:
            raise Lost(f"the collector at {self.url} broke off its answer") from err
        except (httpx.ReadTimeout, httpx.WriteTimeout) as err:
            raise Lost(f"the collector at {self.url} took longer than 120 s") from err
        except (httpx.HTTPError, httpx.InvalidURL) as err:
            raise Unavailable(
                f"the collector does not answer at {self.url}: start it with `novacron up`, "
                "or say where it is with --url"
            ) from err


def in_path(name: str) -> str:
    """A name somebody chose, as one part of a path."""
    return quote(name, safe="")


def require_private(url: str) -> None:
    """
    Raises:
        ConfigError: what is sent there can be read on the way.
    """
    parts = urlsplit(url)
    if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
        raise ConfigError(f"--url: {url}: a token or password is sent by https:// alone")


def _failure(answer: httpx.Response) -> NovaCronError:
    reason, status = _reason(answer), answer.status_code
    if reason is None:
        if status in _BEFORE_IT:
            return Lost(f"what is in front of the collector answers {status}")
        return Failed(f"unexpected answer {status}: is that the collector's API?")
    if status == httpx.codes.UNAUTHORIZED:
        return NotAllowed(f"{reason} (see `novacron login --help`)")
    if status == httpx.codes.FORBIDDEN:
        return NotAllowed(reason)
    return NotNow(reason) if status in _LATER else Failed(reason)


def _reason(answer: httpx.Response) -> str | None:
    """The collector's own sentence; None: somebody else answers."""
    match _parsed(answer):
        case {"error": str(), "message": str(message)}:
            return message
    return None


def _json(answer: httpx.Response) -> Any:
    document = _parsed(answer)
    if document is None:
        raise Failed("the answer is no JSON: is that the collector's API?")
    return document


def _parsed(answer: httpx.Response) -> Any:
    try:
        return answer.json()
    except ValueError:
        return None
