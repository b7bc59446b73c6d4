"""Connections to ClickHouse, and its errors in the contract's words.

`http://host:port` reaches a server (or novacron-store); `chdb:///folder` opens the engine inside
this process, for tests and benchmarks. A client serves one thread: each thread opens its own.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.parse import SplitResult, urlsplit

import clickhouse_connect
from clickhouse_connect.driver import exceptions
from clickhouse_connect.driver.client import Client

from novacron_contract.errors import ConfigError, NotFound, NovaCronError, Refused, Unavailable

DATABASE = "novacron"

_NOT_FOUND = {60, 81}  # table, database: nothing was migrated yet
_REFUSED = {164, 192, 193, 194, 497, 516}  # read-only, user, password, grant
_TRY_AGAIN = {
    74,  # cannot read from a file
    75,  # cannot write to a file
    159,  # timeout
    202,  # too many queries at once
    209,  # socket timeout
    210,  # network
    236,  # aborted, as at a shutdown
    241,  # memory limit
    242,  # table is read-only now
    243,  # disk full
    252,  # too many parts
}
_LOCKED = "(BAD_ARGUMENTS)"  # all chDB says when another process has the folder open


def connect(
    url: str,
    *,
    user: str = "default",
    password: str = "",
    database: str = DATABASE,
    timeout: float = 60,
) -> Client:
    """Open a client whose default database is `database`, which need not exist yet.

    Raises:
        ConfigError: the URL is none of ours, or another process uses the folder.
        Refused: user or password is wrong.
        Unavailable: nothing answers there.
    """
    parts = urlsplit(url)
    with contract_errors():
        if parts.scheme == "chdb":
            client = _open_folder(parts)
        elif parts.scheme in ("http", "https") and parts.hostname:
            client = _open_http(parts, user, password, timeout)
        else:
            raise ConfigError(f"{url!r}: expected http://HOST:PORT, https://… or chdb:///FOLDER")
    client.database = database
    return client


def per_thread(open_client: Callable[[], Client]) -> Callable[[], Client]:
    """This thread's client: opened on its first use, and again if that failed."""
    local = threading.local()

    def client() -> Client:
        known: Client | None = getattr(local, "client", None)
        if known is None:
            known = local.client = open_client()
        return known

    return client


def _open_folder(parts: SplitResult) -> Client:
    try:
        return clickhouse_connect.get_client(interface="chdb", path=parts.path)
    except exceptions.ProgrammingError as err:
        if _LOCKED in str(err):
            raise ConfigError(
                f"{parts.path}: another process uses this data folder; "
                "stop that process, or choose another folder"
            ) from err
        raise


def _open_http(parts: SplitResult, user: str, password: str, timeout: float) -> Client:
    return clickhouse_connect.get_client(
        interface=parts.scheme,
        host=parts.hostname,
        port=parts.port or 8123,
        username=user,
        password=password,
        send_receive_timeout=int(timeout),
        compress=False,  # both ends are near each other: the CPU is worth more than the bytes
        form_encode_query_params=True,  # parameters in the body: thousands of ids outgrow a URL
        autogenerate_session_id=False,  # a session would serialise the queries of one user
    )


@contextmanager
def contract_errors() -> Iterator[None]:
    """Turn ClickHouse's errors into ours where a caller can act on them."""
    try:
        yield
    except exceptions.Error as err:
        raise _translated(err) from err


def _translated(err: exceptions.Error) -> NovaCronError | exceptions.Error:
    message = str(err).strip() or type(err).__name__
    if err.code in _TRY_AGAIN:
        return Unavailable(f"the telemetry store cannot do this now: {message}")
    if err.code in _REFUSED:
        return Refused(f"the telemetry store refuses: {message}")
    if err.code in _NOT_FOUND:
        return NotFound(f"the telemetry store has no such thing: {message}")
    if err.code is None and isinstance(err, exceptions.OperationalError):
        return Unavailable(f"the telemetry store does not answer: {message}")
    return err
