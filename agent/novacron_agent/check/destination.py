"""Whether a destination takes metrics: an empty request, by the agent's own client."""

from __future__ import annotations

import dataclasses
import gzip
import time

from novacron_agent.check.clock import check_offset
from novacron_agent.delivery.delivery import client
from novacron_agent.delivery.destination import Destination
from novacron_agent.finding import Finding, fail, ok, warn
from novacron_contract.errors import ConfigError
from novacron_otlp.answer import Accepted, Answer, Doubtful, Later, Refused, TooLarge
from novacron_otlp.connection import open_transport

_EMPTY = gzip.compress(b"", mtime=0)  # an ExportMetricsServiceRequest without anything in it
_TIMEOUT_S = 10.0

_CREDENTIALS = "put a token it knows into headers_file, or a certificate it knows into cert_file"
_RIGHTS = "give this token or certificate the right to write metrics there"
_BUSY = "it is there; the agent waits and tries again"
# Words of an answer, and what to do about them; the first that is found counts.
_FIXES = (
    ("HTTP 401", _CREDENTIALS),
    ("UNAUTHENTICATED", _CREDENTIALS),
    ("HTTP 403", _RIGHTS),
    ("PERMISSION_DENIED", _RIGHTS),
    ("HTTP 404", "correct the path of endpoint: /v1/metrics is added to it"),
    ("HTTP 405", "correct the path of endpoint: /v1/metrics is added to it"),
    ("HTTP 407", "give the proxy's user and password in proxy"),
    ("UNIMPLEMENTED", "correct endpoint: there is gRPC, but nothing that takes OTLP metrics"),
    ("Hostname mismatch", "use in endpoint the name that its certificate is made out to"),
    ("IP address mismatch", "use in endpoint the name that its certificate is made out to"),
    ("certificate has expired", "renew its certificate, or set this machine's clock"),
    ("CERTIFICATE_VERI", "set ca_file to the authority that signed its certificate"),
    ("ALERT", "it does not take our certificate: see cert_file and key_file"),
    (
        "WRONG_VERSION_NUMBER",
        "it does not speak TLS there: use http:// or grpc://, or its TLS port",
    ),
    ("handshake failed", "does it speak TLS there, signed by whom ca_file names? See endpoint"),
    ("not known", "correct the name in endpoint, or mend the name server"),
    ("name resolution", "correct the name in endpoint, or mend the name server"),
    ("DNS", "correct the name in endpoint, or mend the name server"),
    ("refused", "start the receiver there, or correct host and port of endpoint"),
    ("timed out", "let a firewall pass it, or correct host and port of endpoint"),
    ("disconnected", "is it OTLP by HTTP there, and without TLS? See endpoint"),
)
_OTHERWISE = "is it an OTLP receiver there? See endpoint, and its own log"


def check_destination(there: Destination, version: str) -> list[Finding]:
    what = f"destination {there.name} ({there.endpoint})"
    quick = dataclasses.replace(there, timeout=min(there.timeout, _TIMEOUT_S))
    try:
        transport = open_transport(quick, client(version))
    except ConfigError as err:
        return [fail(what, str(err), "correct the file, or its name in the settings")]
    try:
        answer = transport.send(_EMPTY)
        return [_finding(what, answer), *check_offset(what, transport.date, time.time())]
    finally:
        transport.close()


def _finding(what: str, answer: Answer) -> Finding:
    match answer:
        case Accepted():
            return ok(what, "takes metrics")
        case Later(reason) if reason.startswith(("HTTP 429", "HTTP 503", "gRPC RESOURCE")):
            return warn(what, reason, _BUSY)
        case Later(reason) | Doubtful(reason) | TooLarge(reason) | Refused(reason):
            return fail(what, reason, _fix(reason))


def _fix(reason: str) -> str:
    lower = reason.lower()
    return next((fix for word, fix in _FIXES if word.lower() in lower), _OTHERWISE)
