"""What is done to the collector's own database, by whoever may read its settings: the first admin,
and the password of one who forgot it."""

from __future__ import annotations

import getpass
import os
from pathlib import Path
from typing import TYPE_CHECKING

from novacron_cli.collector_file import state
from novacron_contract.access import Grant, Principal, PrincipalKind, Role
from novacron_contract.errors import BadMessage, ConfigError, Conflict, NotFound

if TYPE_CHECKING:
    from novacron_store.state import Caller


def add(config: Path, name: str, password: str, reason: str) -> None:
    """
    Raises:
        ConfigError: there are users already, or that can be no name or password.
        Unavailable: the database does not answer.
    """
    from novacron_store.state import Users

    with state(config) as engine:
        kept = _hashed(password, name)
        try:
            Users(engine).add(name, kept, (Grant(Role.ADMIN),), by_machine(reason), first=True)
        except (BadMessage, Conflict) as err:
            raise ConfigError(str(err)) from err


def reset(config: Path, name: str, password: str, reason: str) -> None:
    """
    Raises:
        ConfigError: there is no such user, or that can be no password.
        Unavailable: the database does not answer.
    """
    from novacron_store.state import Change, Users

    with state(config) as engine:
        kept = _hashed(password, name)
        try:
            Users(engine).change(name, Change(password=kept), by_machine(reason))
        except NotFound as err:
            raise ConfigError(str(err)) from err


def check(name: str, password: str) -> None:
    """
    Raises:
        ConfigError: that can be no name or password.
    """
    from novacron_store.state.passwords import check_password
    from novacron_store.state.users import check_name

    try:
        check_name(name)
        check_password(password, name)
    except BadMessage as err:
        raise ConfigError(str(err)) from err


def _hashed(password: str, name: str) -> str:
    from novacron_store.state.passwords import Passwords

    check(name, password)
    return Passwords().hashed(password)


def by_machine(reason: str) -> Caller:
    """Nobody has logged in: on record is who it was on the machine."""
    from novacron_store.state import Caller

    name = os.environ.get("SUDO_USER") or getpass.getuser()
    grants = (Grant(Role.ADMIN),)
    return Caller(Principal(PrincipalKind.SYSTEM, "", f"{name} on the machine", grants), "", reason)
