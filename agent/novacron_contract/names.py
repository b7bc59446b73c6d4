"""What this machine is called: the names and addresses that its certificate is made out to."""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path

from novacron_contract.errors import ConfigError
from novacron_contract.settings import host_port

# Addresses that are documentation's: no packet leaves for choosing the way to them
_SOMEWHERE = ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1"))
_NAME = re.compile(r"(?=.{1,253}$)([A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?\.?)+")
_TEMPORARY = 0x01  # for privacy: another one tomorrow
_IPV6 = Path("/proc/net/if_inet6")


def server_name(name: str) -> str:
    """Check a name or an address of a server.

    Raises:
        ConfigError: it is neither.
    """
    try:
        ipaddress.ip_address(name)
    except ValueError:
        if not _NAME.fullmatch(name):
            raise ConfigError(f"expected a name or an address, got {name[:80]!r}") from None
    return name


def server_names(names: Sequence[str]) -> tuple[str, ...]:
    return tuple(server_name(name) for name in names)


def own_names(configured: Sequence[str], listeners: Sequence[str]) -> tuple[str, ...]:
    """Those that were configured, then those this machine knows of itself."""
    found = [*configured, "localhost", "127.0.0.1", "::1"]
    hosts = (host_port(address)[0] for address in listeners)
    found += [host for host in hosts if not _is_any(host)]
    found += [name for name in (socket.gethostname(),) if _NAME.fullmatch(name)]
    found += [*_ways_out(), *_ipv6_addresses()]
    return tuple(dict.fromkeys(plain_name(name) for name in found))


def plain_name(name: str) -> str:
    """Addresses have one spelling each."""
    try:
        return str(ipaddress.ip_address(name))
    except ValueError:
        return name.rstrip(".").lower()


def _is_any(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False


def _ways_out() -> Iterator[str]:
    for family, somewhere in _SOMEWHERE:
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as sock:
                sock.connect((somewhere, 9))
                yield str(sock.getsockname()[0])
        except OSError:
            continue  # there is no such way


def _ipv6_addresses() -> Iterator[str]:
    try:
        lines = _IPV6.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        digits, _, _, _, flags, _ = line.split()
        address = ipaddress.IPv6Address(int(digits, 16))
        if not address.is_link_local and not int(flags, 16) & _TEMPORARY:
            yield str(address)
