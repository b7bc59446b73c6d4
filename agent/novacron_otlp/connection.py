"""The connection to one destination, opened where it is needed."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Protocol

from novacron_contract.errors import ConfigError
from novacron_otlp.answer import Answer, Later
from novacron_otlp.client import Client
from novacron_otlp.http import HttpTransport
from novacron_otlp.settings import ClientSettings


class Transport(Protocol):
    """Serves one thread. `date`: of its last answer by HTTP, as the destination wrote it, or ""."""

    date: str

    def send(self, body: bytes, within: float = math.inf) -> Answer:
        """An answer within the settings' timeout, and `within` seconds."""

    def close(self) -> None: ...


def open_transport(settings: ClientSettings, client: Client) -> Transport:
    """
    Raises:
        ConfigError: a file that the settings name cannot be used.
    """
    if not settings.is_grpc:
        return HttpTransport(settings, client)
    from novacron_otlp.grpc import GrpcTransport  # 10 MB of memory: not for HTTP

    return GrpcTransport(settings, client)


class Connection:
    """Opened anew after each `Later`, and after files that could not be used: addresses, secrets
    and certificates may be new. So it is when `files` are others: a certificate that was renewed is
    taken up before the one before it ends. Serves one thread."""

    def __init__(
        self, open_anew: Callable[[], Transport], files: Callable[[], object] = lambda: None
    ) -> None:
        self._open_anew = open_anew
        self._files = files
        self._opened_with: object = None
        self._transport: Transport | None = None

    def send(self, body: bytes, within: float = math.inf) -> Answer:
        try:
            if self._files() != self._opened_with:
                self.close()
            if self._transport is None:
                self._opened_with = self._files()
                self._transport = self._open_anew()
        except ConfigError as err:
            return Later(str(err))
        answer = self._transport.send(body, within)
        if isinstance(answer, Later):
            self.close()
        return answer

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()
            self._transport = None
