"""The collector, as who joins or renews asks it: two requests, one at a time."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from novacron_contract.errors import (
    BadMessage,
    Conflict,
    NovaCronError,
    Refused,
    TooMany,
    Unauthenticated,
    Unavailable,
)
from novacron_otlp.answer import one_line

_TIMEOUT_S = 15.0
_MAX_ANSWER = 64 * 1024
_ERRORS = {400: BadMessage, 401: Unauthenticated, 403: Refused, 409: Conflict, 429: TooMany}


@dataclass(frozen=True, slots=True)
class Granted:
    """Times are Unix seconds."""

    certificate: str
    authority: str
    serial: str
    begins: float
    ends: float


def chain_of(host: str, port: int) -> list[bytes]:
    """The certificates in DER that are shown at an address. Nothing is said there but hello.

    Raises:
        Unavailable: nobody speaks TLS there.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with (
            socket.create_connection((host, port), _TIMEOUT_S) as sock,
            context.wrap_socket(sock, server_hostname=host) as tls,
        ):
            return _chain(tls)
    except (OSError, ValueError) as err:
        raise _unreachable(host, port, err) from err


def ask(
    host: str, port: int, context: ssl.SSLContext, path: str, body: Mapping[str, Any]
) -> Granted:
    """
    Raises:
        Unavailable: it does not answer.
        NovaCronError: what it said.
    """
    connection = http.client.HTTPSConnection(host, port, timeout=_TIMEOUT_S, context=context)
    try:
        headers = {"Content-Type": "application/json"}
        connection.request("POST", path, json.dumps(body).encode(), headers)
        answer = connection.getresponse()
        content = answer.read(_MAX_ANSWER)
    except (OSError, http.client.HTTPException) as err:
        raise _unreachable(host, port, err) from err
    finally:
        connection.close()
    return _granted(answer.status, content)


def _chain(tls: ssl.SSLSocket) -> list[bytes]:
    """Python 3.13 gives it to everybody; those before keep it to themselves."""
    if hasattr(tls, "get_unverified_chain"):
        return list(tls.get_unverified_chain())
    inner: Any = tls._sslobj  # type: ignore[attr-defined]
    return [ssl.PEM_cert_to_DER_cert(one.public_bytes()) for one in inner.get_unverified_chain()]


def _granted(status: int, content: bytes) -> Granted:
    try:
        document = json.loads(content)
    except ValueError:
        document = None
    match document:
        case {
            "certificate": str(certificate),
            "authority": str(authority),
            "serial": str(serial),
            "begins": float(begins) | int(begins),
            "ends": float(ends) | int(ends),
        } if status == http.client.OK:
            return Granted(certificate, authority, serial, begins, ends)
        case {"error": str(), "message": str(message)}:
            raise _ERRORS.get(status, Unavailable)(one_line(message))
    raise Unavailable(f"unexpected answer {status}: is that a collector's port for agents?")


def _unreachable(host: str, port: int, err: Exception) -> NovaCronError:
    where = f"{f'[{host}]' if ':' in host else host}:{port}"
    if isinstance(err, ssl.SSLCertVerificationError):
        return Unavailable(f"{where}: {_distrust(err.verify_message, host)}")
    if isinstance(err, ssl.SSLError):
        why = one_line(err.reason or str(err))
        return Unavailable(f"{where}: TLS failed ({why}): is that a collector's port for agents?")
    if isinstance(err, socket.gaierror):
        return Unavailable(f"{where}: there is no such name here: mend it, or the name server")
    why = one_line(getattr(err, "strerror", None) or str(err) or type(err).__name__)
    return Unavailable(
        f"{where}: not reachable ({why}): is the collector up, does [listen] agents reach this "
        "host, and does a firewall let it pass?"
    )


def _distrust(why: str, host: str) -> str:
    if "mismatch" in why:
        return (
            f"the collector's certificate is not made out to {host}: add it to [tls] names of "
            "collector.toml, and restart the collector"
        )
    if "not yet valid" in why or "expired" in why:
        return f"{why}: is the clock of this machine right?"
    return f"its certificate is not trusted: {why}"
