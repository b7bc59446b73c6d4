"""Passwords: asked for on a terminal, unseen; else a line of standard input each."""

from __future__ import annotations

import getpass
import sys

from novacron_contract.errors import ConfigError


def password(what: str = "Password") -> str:
    """
    Raises:
        ConfigError: none came.
    """
    given = getpass.getpass(f"{what}: ") if sys.stdin.isatty() else _line()
    if not given:
        raise ConfigError("a password is missing: type it, or send it by standard input")
    return given


def new_password() -> str:
    """Twice on a terminal, where nobody sees what they type.

    Raises:
        ConfigError: none came, or two different ones.
    """
    given = password("New password")
    if sys.stdin.isatty() and getpass.getpass("Once more: ") != given:
        raise ConfigError("these were two different passwords: try again")
    return given


def _line() -> str:
    return sys.stdin.readline().rstrip("\r\n")
