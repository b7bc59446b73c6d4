"""`novacron-agent join`: become known to a collector, by the line that it gave.

Nothing is told to a server that cannot prove to be the one that made the line.
"""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import ssl
import sys
from dataclasses import dataclass
from pathlib import Path

from novacron_agent.enrolment.collector import Granted, ask, chain_of
from novacron_agent.enrolment.invitation import MAX_LINE, Invitation, invitation
from novacron_agent.enrolment.membership import (
    AUTHORITY,
    CERTIFICATE,
    Membership,
    read_membership,
    write_membership,
)
from novacron_agent.enrolment.request import KeyAndRequest, new_request, pin_of
from novacron_agent.identity import persistent_id, this_machine
from novacron_agent.settings import Settings
from novacron_contract.errors import ConfigError, Conflict, NovaCronError, Refused
from novacron_contract.private_file import write_private

_SERVICE_USER = "novacron-agent"
_ENROLL = "/v1/agents/enroll"


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose files they are: those of the user that the agent runs as."""

    uid: int
    gid: int

    def give(self, *paths: Path) -> None:
        if os.geteuid() == 0:
            for path in paths:
                os.chown(path, self.uid, self.gid)


def run(settings: Settings, version: str, *, again: bool) -> int:
    """0 when the agent is known to the collector from now on."""
    try:
        line = sys.stdin.readline(MAX_LINE)
        joined = join(settings, invitation(line), version, again=again)
    except ConfigError:
        raise
    except NovaCronError as err:
        sys.stderr.write(f"novacron-agent: {err}\n")
        return 1
    sys.stdout.write(f"joined {joined.url} as agent {joined.agent_id}\n")
    if settings.destinations or settings.agent.endpoint is not None:
        sys.stdout.write("metrics go where agent.toml says, as before: [agent] endpoint\n")
    return 0


def join(settings: Settings, line: Invitation, version: str, *, again: bool) -> Membership:
    """
    Raises:
        ConfigError: this machine's files cannot be used.
        Conflict: it has joined already, or is known to the collector.
        NovaCronError: see the collector's own words.
    """
    folder = settings.identity
    known = read_membership(folder) if not again else None
    if known is not None:
        raise Conflict(f"this agent has joined {known.url}: to join anew add --again")
    id_file = settings.agent.id_file
    owner = _prepared(folder.parent, id_file.parent)
    is_new = not id_file.exists()
    agent_id = persistent_id(id_file)
    if is_new:
        owner.give(id_file)
    authority = _pinned(line)
    request = new_request(agent_id)
    said = {
        "token": line.secret,
        "csr": request.csr,
        "agent_id": agent_id,
        "host_id": _host_id(settings),
        "name": socket.gethostname() or "host",
        "version": version,
    }
    context = ssl.create_default_context(cadata=ssl.DER_cert_to_PEM_cert(authority))
    granted = ask(line.host, line.port, context, _ENROLL, said)
    membership = Membership(
        folder=folder,
        url=line.url,
        agent_id=agent_id,
        pin=line.pin,
        serial=granted.serial,
        begins=granted.begins,
        ends=granted.ends,
    )
    _write(membership, request, granted, owner)
    return membership


def _pinned(line: Invitation) -> bytes:
    """The authority's certificate, out of the chain that is shown."""
    for certificate in chain_of(line.host, line.port):
        if pin_of(certificate) == line.pin:
            return certificate
    raise Refused(
        f"{line.host}:{line.port} is not the collector that made this line: its authority has "
        "another key. Nothing was told to it. Is the line of this collector, and whole?"
    )


def _host_id(settings: Settings) -> str | None:
    """Of a host that is seen from elsewhere the first telemetry tells it."""
    agent = settings.agent
    return this_machine(agent.id_file, agent.host_id).id if settings.host.enabled else agent.host_id


def _prepared(*folders: Path) -> Owner:
    """Folders that are missing are made, as the service would have them."""
    try:
        for folder in folders:
            if not folder.exists():
                folder.mkdir(mode=0o700, parents=True)
                if (user := _service_user()) is not None:
                    user.give(folder)
        state = folders[0].stat()
    except OSError as err:
        raise ConfigError(f"{err.filename}: cannot be used: {err.strerror}") from err
    return Owner(state.st_uid, state.st_gid)


def _service_user() -> Owner | None:
    try:
        user = pwd.getpwnam(_SERVICE_USER)
    except KeyError:
        return None
    return Owner(user.pw_uid, user.pw_gid)


def _write(membership: Membership, request: KeyAndRequest, granted: Granted, owner: Owner) -> None:
    """A whole folder, put in the place of the one before."""
    folder = membership.folder
    draft, old = (folder.with_name(f".{folder.name}.{kind}") for kind in ("new", "old"))
    try:
        for left in (draft, old):
            shutil.rmtree(left, ignore_errors=True)
        draft.mkdir(mode=0o700)
        write_private(draft / CERTIFICATE, request.key + granted.certificate.encode())
        write_private(draft / AUTHORITY, granted.authority.encode())
        write_membership(membership, draft)
        owner.give(draft, *draft.iterdir())
        if folder.exists():
            folder.rename(old)
        draft.rename(folder)
        shutil.rmtree(old, ignore_errors=True)
    except OSError as err:
        raise ConfigError(f"{err.filename or folder}: cannot be written: {err.strerror}") from err
