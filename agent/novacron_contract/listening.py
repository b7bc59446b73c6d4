"""Addresses and sockets of servers. Those without TLS are on loopback alone."""

from __future__ import annotations

import errno
import ipaddress
import socket

from novacron_contract.errors import ConfigError
from novacron_contract.settings import host_port

_BACKLOG = 512


def is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def loopback_address(address: str) -> str:
    """Check a setting that says where to listen without TLS.

    Raises:
        ConfigError: it is no HOST:PORT, or reaches beyond this machine.
    """
    host, _ = host_port(address)
    if not is_loopback(host):
        raise ConfigError(
            f"{host} is not a loopback address; this speaks no TLS, so it listens on 127.0.0.1 "
            "or [::1] alone"
        )
    return address


def listen(address: str, where: str) -> socket.socket:
    """A socket that listens on `address`; `where` is the setting, for the error.

    Raises:
        ConfigError: the address cannot be taken.
    """
    host, port = host_port(address)
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # connections inherit it
        sock.bind((host, port))
        sock.listen(_BACKLOG)  # from now on another program's attempt fails
    except OSError as err:
        sock.close()
        if err.errno == errno.EADDRINUSE:
            raise ConfigError(
                f"{where}: {address} is in use, perhaps by the same program started twice: "
                "stop the program that listens there, or set another address"
            ) from err
        raise ConfigError(f"{where}: {address}: {err.strerror or err}") from err
    return sock
