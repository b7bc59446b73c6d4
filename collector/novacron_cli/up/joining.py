"""The agents of `novacron up` join its collector as those of any host do: by a line, once."""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from sqlalchemy import Engine

from novacron_cli.up.addresses import Addresses
from novacron_cli.up.data_folder import DataFolder
from novacron_contract.access import SYSTEM
from novacron_contract.errors import ConfigError, NotFound, Unavailable
from novacron_contract.settings import host_port
from novacron_store.state import Caller
from novacron_store.state.identities import Identities, Standing
from novacron_store.state.join_tokens import JoinTokens

_LASTS = timedelta(minutes=5)
_PATIENCE_S = 60.0
_LEFT_S = 3600.0  # with less than that a certificate may end before the agent renews it
_US = Caller(SYSTEM, reason="novacron up")


@dataclass(frozen=True)
class Joining:
    """Whoever may start the collector may let agents join: it asks the state database itself."""

    data: DataFolder
    addresses: Addresses
    state: Engine

    def needs(self, name: str) -> bool:
        """Whether the agent is not known to the collector, or will not be for long."""
        return not (self._is_known(name) and self._holds(name))

    def join(self, name: str, command: Sequence[str]) -> None:
        """
        Raises:
            Unavailable: it does not succeed; the agent says why.
        """
        self._forget(name)
        now = datetime.now(UTC)
        _, secret = JoinTokens(self.state).create(_token(name), _US, now, now + _LASTS, 1)
        line = f"{line_of(self._url, self.data.ca_file, secret)}\n"
        try:
            ended = subprocess.run(
                command,
                input=line,
                capture_output=True,
                text=True,
                timeout=_PATIENCE_S,
                check=False,
            )
        except subprocess.TimeoutExpired as err:
            raise Unavailable(f"{name} does not join within {_PATIENCE_S:g} s") from err
        if ended.returncode:
            raise Unavailable(f"{name} does not join: {ended.stderr.strip()}")

    @property
    def _url(self) -> str:
        """From this machine."""
        host, port = host_port(self.addresses.agents)
        here = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host)
        return f"https://{f'{here}:{port}' if here else self.addresses.agents}"

    def _agent_id(self, name: str) -> str:
        try:
            return self.data.agent_id(name).read_text(encoding="ascii").strip()
        except FileNotFoundError:
            return ""

    def _is_known(self, name: str) -> bool:
        try:
            known = Identities(self.state).identity(self._agent_id(name))
        except NotFound:
            return False
        return known.standing is Standing.ACTIVE

    def _holds(self, name: str) -> bool:
        """Whether what it has on disk does, at this address."""
        try:
            found = json.loads((self.data.identity(name) / "membership.json").read_bytes())
        except (OSError, ValueError):
            return False
        match found:
            case {"url": str(url), "ends": float(ends) | int(ends)}:
                return url == self._url and ends > time.time() + _LEFT_S
        return False

    def _forget(self, name: str) -> None:
        """What the collector knew of it: its files are lost or too old. After a restore it has
        another id, and is known by the token that it joined by."""
        identities, agent_id = Identities(self.state), self._agent_id(name)
        tokens = {one.id for one in JoinTokens(self.state).all() if one.name == _token(name)}
        for known in identities.all():
            is_ours = known.agent_id == agent_id or known.joined_by in tokens
            if is_ours and known.standing is not Standing.REVOKED:
                entry = _US.entry("agent.revoke", f"agent:{known.agent_id}")
                why = "joins anew: its files were lost, or too old"
                identities.end(known.agent_id, Standing.REVOKED, why, datetime.now(UTC), entry)


def line_of(url: str, ca_file: Path, secret: str) -> str:
    """What `novacron-agent join` takes.

    Raises:
        ConfigError: the authority's certificate cannot be used.
    """
    try:
        key = x509.load_pem_x509_certificate(ca_file.read_bytes()).public_key()
    except (OSError, ValueError) as err:
        raise ConfigError(f"{ca_file}: cannot be used: {err}") from err
    der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    pin = base64.urlsafe_b64encode(hashlib.sha256(der).digest()).decode().rstrip("=")
    return f"{url}#{pin}:{secret}"


def _token(name: str) -> str:
    """What its join token is called."""
    return f"novacron up: {name}"
