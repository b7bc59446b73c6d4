"""The certificate that browsers are shown, read again when its files change."""

from __future__ import annotations

import asyncio
import logging
import ssl
from dataclasses import dataclass, field
from pathlib import Path

from novacron_contract.errors import ConfigError

log = logging.getLogger(__name__)

LOOK_EVERY_S = 10.0


@dataclass(eq=False)
class Certificate:
    cert_file: Path
    key_file: Path
    context: ssl.SSLContext = field(init=False, repr=False)
    _seen: object = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """
        Raises:
            ConfigError: the files cannot be used.
        """
        self._seen = self._state()
        self.context = _context(self.cert_file, self.key_file)

    async def follow(self, every_s: float = LOOK_EVERY_S) -> None:
        """Connections that are open do not notice; a pair that cannot be used is told."""
        while True:
            await asyncio.sleep(every_s)
            self.read_again()

    def read_again(self) -> bool:
        state = self._state()
        if state == self._seen:
            return False
        self._seen = state
        try:
            _context(self.cert_file, self.key_file)  # the one in use stays whole if this fails
            self.context.load_cert_chain(self.cert_file, self.key_file, password=_no_password)
        except (ConfigError, OSError) as err:
            log.error("%s; the certificate before stays", err)
            return False
        log.info("%s: was read again, and takes effect", self.cert_file)
        return True

    def _state(self) -> object:
        try:
            found = [path.stat() for path in (self.cert_file, self.key_file)]
        except OSError:
            return None
        return [(one.st_mtime_ns, one.st_ino, one.st_size) for one in found]


def _context(cert_file: Path, key_file: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    try:
        context.load_cert_chain(cert_file, key_file, password=_no_password)
    except OSError as err:
        reason = getattr(err, "reason", None) or err.strerror or "unreadable"
        raise ConfigError(f"tls: {cert_file}, {key_file}: cannot be used: {reason}") from err
    return context


def _no_password() -> str:
    raise ConfigError("tls: a key with a pass phrase cannot be used")
