"""Whether a certificate that somebody brings will do: by the handshake that others will have."""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Sequence
from pathlib import Path

from novacron_contract.errors import ConfigError

_EXPIRED, _NOT_YET, _NO_ISSUER = 10, 9, 20  # X509_V_ERR_…
_SELF_SIGNED = (18, 19)
_UNKNOWN_LEAF = 21
_NAMES = (62, 64)  # of hosts, and of addresses


def check_certificate(cert: Path, key: Path, ca: Path | None, names: Sequence[str]) -> None:
    """
    Raises:
        ConfigError: they do not match, or others would not trust them by these names.
    """
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)

    def refuse() -> str:
        raise ConfigError(f"{key}: has a pass phrase: NovaCron needs a key without one")

    for path in (cert, key):
        _readable(path)
    try:
        server.load_cert_chain(cert, key, password=refuse)
    except ssl.SSLError as err:
        if err.reason == "KEY_VALUES_MISMATCH":
            raise ConfigError(f"{key}: is not the key of {cert}") from err
        raise ConfigError(f"{cert}, {key}: expected a certificate and its key in PEM") from err
    client = _client(ca)
    for name in names:
        try:
            _shake_hands(server, client, name)
        except ssl.SSLCertVerificationError as err:
            raise ConfigError(_sentence(err, cert, name)) from err
        except ssl.SSLError as err:
            raise ConfigError(f"{cert}: cannot be used: {err.reason}") from err


def _client(ca: Path | None) -> ssl.SSLContext:
    if ca is None:
        return ssl.create_default_context()
    _readable(ca)
    try:
        return ssl.create_default_context(cafile=ca)
    except ssl.SSLError as err:
        raise ConfigError(f"{ca}: expected the authority's certificate in PEM") from err


def _readable(path: Path) -> None:
    try:
        path.read_bytes()
    except OSError as err:
        raise ConfigError(f"{path}: cannot be read: {err.strerror}") from err


def _shake_hands(server: ssl.SSLContext, client: ssl.SSLContext, name: str) -> None:
    """In memory, without a network."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        client.wrap_bio(to_client, to_server, server_hostname=name),
        server.wrap_bio(to_server, to_client, server_side=True),
    ]
    while ends:
        ends = list(_unfinished(ends))


def _unfinished(ends: Sequence[ssl.SSLObject]) -> Iterator[ssl.SSLObject]:
    for end in ends:
        try:
            end.do_handshake()
        except ssl.SSLWantReadError:
            yield end


def _sentence(err: ssl.SSLCertVerificationError, cert: Path, name: str) -> str:
    match err.verify_code:
        case code if code == _EXPIRED:
            return f"{cert}: has expired, or one of its chain has: bring a newer one"
        case code if code == _NOT_YET:
            return f"{cert}: does not hold yet: is this machine's clock right?"
        case code if code in _NAMES:
            return f"{cert}: is not made out to {name}: bring another, or say --address NAME"
        case code if code in (_NO_ISSUER, _UNKNOWN_LEAF, *_SELF_SIGNED):
            return (
                f"{cert}: ends in no authority that is trusted here: put the whole chain into the "
                "file, or name the authority's certificate by --ca"
            )
    return f"{cert}: would not be trusted: {err.verify_message}"
