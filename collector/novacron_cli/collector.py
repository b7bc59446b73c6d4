"""The collector's REST API, as the command line asks it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

import httpx

from novacron_contract.errors import ConfigError, NovaCronError, Unavailable

DEFAULT_URL = "http://127.0.0.1:8440"
TIMEOUT_S = 120.0


class Failed(NovaCronError):
    """The collector answered, and its answer is no."""


@dataclass(frozen=True)
class Collector:
    url: str = DEFAULT_URL

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigError(f"--url: expected http://HOST:PORT, got {self.url!r}")

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

    @contextmanager
    def stream(self, path: str, query: Mapping[str, Any]) -> Iterator[httpx.Response]:
        """An answer that is read while it comes; lists in `query` are names given several times.

        Raises:
            Failed: the collector's own sentence says why.
            Unavailable: it does not answer, or no longer.
        """
        asked = {name: value for name, value in query.items() if value is not None}
        with self._errors(), httpx.Client(timeout=TIMEOUT_S, trust_env=False) as client:
            url = f"{self.url.rstrip('/')}{path}"
            with client.stream("GET", url, params=asked) as answer:
                if answer.status_code != httpx.codes.OK:
                    answer.read()
                    raise Failed(_reason(answer))
                yield answer

    def _ask(self, method: str, path: str, **request: Any) -> httpx.Response:
        with self._errors(), httpx.Client(timeout=TIMEOUT_S, trust_env=False) as client:
            answer = client.request(method, f"{self.url.rstrip('/')}{path}", **request)
        if answer.status_code != httpx.codes.OK:
            raise Failed(_reason(answer))
        return answer

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except httpx.RemoteProtocolError as err:
            raise Unavailable(f"the collector at {self.url} broke off its answer") from err
        except httpx.TimeoutException as err:
            raise Unavailable(f"the collector at {self.url} took longer than 120 s") from err
        except (httpx.HTTPError, httpx.InvalidURL) as err:
            raise Unavailable(
                f"the collector does not answer at {self.url}: start it with `novacron up`, "
                "or say where it is with --url"
            ) from err


def in_path(name: str) -> str:
    """A name somebody chose, as one part of a path."""
    return quote(name, safe="")


def _reason(answer: httpx.Response) -> str:
    match _parsed(answer):
        case {"error": str(), "message": str(message)}:
            return message
    return f"unexpected answer {answer.status_code}: is that the collector's API?"


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
