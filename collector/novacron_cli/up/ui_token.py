"""The token by which the web UI asks an API that lets nobody in without one."""

from __future__ import annotations

import os

from sqlalchemy import Engine

from novacron_cli.up.addresses import Addresses
from novacron_cli.up.choices import is_here
from novacron_cli.up.data_folder import DataFolder
from novacron_contract.access import SYSTEM, Grant, Principal, PrincipalKind, Role
from novacron_contract.errors import ConfigError, NotFound
from novacron_store.state import ApiTokens, Caller, NewToken, User, Users
from novacron_store.state.credentials import digest

_NAME = "novacron-ui"
_VIEWER = (Grant(Role.VIEWER),)


def keep_ui_token(data: DataFolder, addresses: Addresses, state: Engine) -> None:
    """Make it where it is needed and there is none that holds.

    Raises:
        ConfigError: nobody has been made a user yet, or the file cannot be written.
    """
    if is_here(addresses.api) or _holds(data, state):
        return
    if Users(state).count() == 0:
        raise ConfigError(
            "other machines may reach the API, and it has no users: make the first one with "
            "`novacron setup`"
        )
    user = _user(state)
    actor = Principal(PrincipalKind.SYSTEM, user.id, user.name, _VIEWER)
    caller = Caller(actor, reason="novacron up: the web UI")
    _, secret = ApiTokens(state).create(NewToken("novacron up", _VIEWER), caller)
    draft = data.ui_token.with_name(".ui-token")
    try:
        draft.unlink(missing_ok=True)
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(secret + "\n")
        draft.replace(data.ui_token)
    except OSError as err:
        raise ConfigError(f"{err.filename}: cannot be written: {err.strerror}") from err


def _holds(data: DataFolder, state: Engine) -> bool:
    try:
        secret = data.ui_token.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return False
    return ApiTokens(state).principal(digest(secret)) is not None


def _user(state: Engine) -> User:
    """It has no password, so nobody logs in by its name."""
    users = Users(state)
    try:
        return users.user(_NAME)
    except NotFound:
        return users.add(_NAME, None, _VIEWER, Caller(SYSTEM, reason="novacron up: the web UI"))
