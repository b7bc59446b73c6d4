"""Setting it up: settings, authority, database, the first admin, a line to join by."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import Engine

from novacron_cli import asking, first_user
from novacron_cli.client_file import ClientFile, publish
from novacron_cli.setup.answers import Answers, asked_admin
from novacron_cli.setup.certificate import check_certificate
from novacron_cli.up.addresses import Addresses, on_loopback
from novacron_cli.up.choices import Choices
from novacron_cli.up.data_folder import DataFolder
from novacron_cli.up.joining import line_of
from novacron_cli.up.stack import command_of
from novacron_cli.up.state import opened
from novacron_contract.access import Role
from novacron_contract.errors import ConfigError, Unavailable
from novacron_contract.settings import read_secret
from novacron_store.state import Users
from novacron_store.state.join_tokens import JoinTokens

_LASTS = timedelta(hours=1)
_PATIENCE_S = 60.0


@dataclass(frozen=True, slots=True)
class Invited:
    line: str
    until: datetime


@dataclass(frozen=True, slots=True)
class Done:
    """`admins`: who may do everything; `published`: files that tell others on this machine where
    the API is."""

    data: DataFolder
    choices: Choices
    addresses: Addresses
    client: ClientFile
    admins: tuple[str, ...]
    invited: Invited | None
    published: tuple[Path, ...]


def set_up(data: DataFolder, wanted: Answers) -> Done:
    """
    Raises:
        ConfigError: an answer is wrong, or a file that somebody edited says something else.
        Unavailable: the state database does not answer.
    """
    choices = wanted.choices
    offset = data.port_offset() if wanted.port_offset is None else wanted.port_offset
    addresses = choices.applied(data.addresses(on_loopback(offset)))
    if choices.cert_file is not None and choices.key_file is not None:
        check_certificate(choices.cert_file, choices.key_file, choices.ca_file, choices.names)
    if choices != data.choices() or not data.was_set_up:
        data.require_follows(choices, addresses)
    admin = _Admin(data, wanted)
    admin.require()
    data.keep_choices(choices)
    data.write_configuration(addresses)
    _prepare(data)
    with opened(data) as state:
        admin.add(state)
        invited = _invited(data, addresses, state) if wanted.invite else None
        admins = tuple(_admins(state))
    client = data.client(addresses)
    published = publish(client) if data.is_the_machines else []
    return Done(data, choices, addresses, client, admins, invited, tuple(published))


@dataclass
class _Admin:
    """The first user: asked for before anything is changed, and made at the end."""

    data: DataFolder
    wanted: Answers
    name: str = ""
    password: str = ""

    def require(self) -> None:
        """
        Raises:
            ConfigError: there is no user, and nobody says who is to be one.
        """
        self.name = self.wanted.admin
        if self._exists():
            return
        if not self.name and not self.wanted.asks:
            raise ConfigError(
                "there is no user yet: say --admin NAME, and send the password by standard input "
                "or --password-file FILE"
            )
        self.name = self.name or asked_admin()
        self.password = self._password()
        first_user.check(self.name, self.password)

    def add(self, state: Engine) -> None:
        if self.password and Users(state).count() == 0:
            first_user.add(
                self.data.config("collector"), self.name, self.password, "novacron setup"
            )

    def _exists(self) -> bool:
        if not self.data.has_state:
            return False
        with opened(self.data) as state:
            every = {user.name: user for user in Users(state).all()}
        if self.name and every and self.name not in every:
            raise ConfigError(
                f"--admin: there are users already: an admin may add {self.name!r} by "
                f"`novacron user add {self.name} --admin`"
            )
        return bool(every)

    def _password(self) -> str:
        if self.wanted.password_file is not None:
            return read_secret(self.wanted.password_file)
        return asking.new_password()


def _prepare(data: DataFolder) -> None:
    """By the collector itself: it knows what it needs."""
    command = (*command_of("novacron-collector", data.config("collector")), "--prepare")
    try:
        ended = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_PATIENCE_S,
            check=False,
        )
    except subprocess.TimeoutExpired as err:
        raise Unavailable(f"the collector is not prepared within {_PATIENCE_S:g} s") from err
    if ended.returncode:
        said = ended.stderr.strip().splitlines()[-1:] or ["novacron-collector: it did not say why"]
        reason = said[0].removeprefix("novacron-collector: ")
        raise ConfigError(reason) if ended.returncode == 2 else Unavailable(reason)


def _invited(data: DataFolder, addresses: Addresses, state: Engine) -> Invited:
    now = datetime.now(UTC)
    caller = first_user.by_machine("novacron setup")
    token, secret = JoinTokens(state).create("novacron setup", caller, now, now + _LASTS, 1)
    url = data.choices().agents_url(addresses)
    return Invited(line_of(url, data.ca_file, secret), token.expires)


def _admins(state: Engine) -> list[str]:
    return [
        user.name
        for user in Users(state).all()
        if user.disabled is None and any(grant.role is Role.ADMIN for grant in user.grants)
    ]
