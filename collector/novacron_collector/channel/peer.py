"""Who is at the other end of a TLS connection, as its certificate says."""

from __future__ import annotations

import ssl
import uuid
from dataclasses import dataclass
from typing import Any

PEER = "novacron.peer"  # in a request's scope: a Peer, or None
_URN = "urn:novacron:agent:"


@dataclass(frozen=True, slots=True)
class Peer:
    """`agent_id` is "" where the certificate names none; `ends` is in Unix seconds."""

    agent_id: str
    serial: str
    ends: float


def peer_of(connection: Any) -> Peer | None:
    """`connection`: a transport's ssl_object, or None. OpenSSL has verified what it tells."""
    told = connection.getpeercert() if connection is not None else None
    if not told:
        return None
    return Peer(
        agent_id=_agent_id(told.get("subjectAltName", ())),
        serial=f"{int(told['serialNumber'], 16):x}",
        ends=float(ssl.cert_time_to_seconds(told["notAfter"])),
    )


def _agent_id(names: tuple[tuple[str, str], ...]) -> str:
    if len(names) != 1 or names[0][0] != "URI" or not names[0][1].startswith(_URN):
        return ""
    try:
        return str(uuid.UUID(names[0][1].removeprefix(_URN)))
    except ValueError:
        return ""
