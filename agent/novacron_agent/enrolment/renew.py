"""python -m novacron_agent.enrolment.renew FOLDER: a new key, and a certificate for it, by the one
that still holds. Run by the agent as a process of its own, which takes its memory with it."""

from __future__ import annotations

import dataclasses
import sys
import urllib.parse
from pathlib import Path

from novacron_agent.enrolment.collector import ask
from novacron_agent.enrolment.membership import (
    AUTHORITY,
    CERTIFICATE,
    Membership,
    read_membership,
    ssl_context,
    write_membership,
)
from novacron_agent.enrolment.request import new_request
from novacron_contract.errors import ConfigError, NovaCronError
from novacron_contract.private_file import write_private

_RENEW = "/v1/agents/renew"


def main(argv: list[str]) -> int:
    try:
        renew(Path(argv[0]))
    except NovaCronError as err:
        sys.stderr.write(f"{err}\n")
        return 1
    return 0


def renew(folder: Path) -> Membership:
    """
    Raises:
        ConfigError: the folder cannot be used.
        NovaCronError: the collector does not answer, or not as it should.
    """
    known = read_membership(folder)
    if known is None:
        raise ConfigError(f"{folder}: this agent has not joined")
    where = urllib.parse.urlsplit(known.url)
    request = new_request(known.agent_id)
    host, port = where.hostname or "", where.port or 443
    granted = ask(host, port, ssl_context(folder), _RENEW, {"csr": request.csr})
    renewed = dataclasses.replace(
        known, serial=granted.serial, begins=granted.begins, ends=granted.ends
    )
    try:
        write_private(folder / CERTIFICATE, request.key + granted.certificate.encode())
        write_private(folder / AUTHORITY, granted.authority.encode())
        write_membership(renewed)
    except OSError as err:
        raise ConfigError(f"{folder}: cannot be written: {err.strerror}") from err
    return renewed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
