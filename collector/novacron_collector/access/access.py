"""From what a request says of itself to who asks, and whether they may."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NoReturn

from argon2 import PasswordHasher
from sqlalchemy import Engine

from novacron_collector.access.attempts import Attempts
from novacron_collector.access.denials import Denials
from novacron_collector.access.login import Login
from novacron_collector.access.remembered import Remembered
from novacron_collector.access.settings import AccessSettings
from novacron_contract.access import ANONYMOUS, FLEET, Permission, Principal, PrincipalKind, Target
from novacron_contract.errors import Refused, TooMany, Unauthenticated
from novacron_store.state import (
    ApiTokens,
    Audit,
    Caller,
    Outcome,
    Sessions,
    User,
    Users,
    api_tokens,
)
from novacron_store.state import sessions as session_rows
from novacron_store.state.credentials import digest, has_form
from novacron_store.state.passwords import Passwords

_BEARER = re.compile(r"[Bb]earer +(\S+)")
_NOBODY = "log in with `novacron login`, or send a token: Authorization: Bearer nct_…"


@dataclass(frozen=True)
class Access:
    """`anonymous`: who sends no credential is ANONYMOUS, and not turned away."""

    users: Users
    sessions: Sessions
    tokens: ApiTokens
    audit: Audit
    login: Login
    denials: Denials
    remembered: Remembered
    anonymous: bool

    def caller(self, authorization: str | None, source: str) -> Caller:
        """Who sends this header.

        Raises:
            Unauthenticated: nobody may know, or the credential does not hold (any more).
            Unavailable: the state database does not answer.
        """
        self.denials.write_due()
        if authorization is None and self.anonymous:
            return Caller(ANONYMOUS, source)
        if authorization is None:
            raise Unauthenticated(_NOBODY)
        try:
            return self._known(authorization, source)
        except Unauthenticated as err:
            self._deny(Caller(ANONYMOUS, source), "credential", why=str(err))
            raise

    def holds(self, caller: Caller, permission: Permission) -> bool:
        """Whether who was let in still is to be, for who stays for long.

        Raises:
            Unavailable: the state database does not answer.
        """
        if not caller.digest:
            return True
        principal = self._principal(caller.digest, caller.principal.token_id != "")
        return principal is not None and principal.may(permission)

    def require(self, caller: Caller, permission: Permission, target: Target = FLEET) -> None:
        """
        Raises:
            Refused: the caller may not; that goes on record.
            Unauthenticated: so it is, and the caller has not logged in.
        """
        if not caller.principal.may(permission, target):
            self._refuse(caller, permission, _shown(target))

    def require_somewhere(self, caller: Caller, permission: Permission, what: str) -> None:
        """Within whatever scope: what is acted upon is not known yet.

        Raises:
            Refused: the caller may not, wherever.
            Unauthenticated: so it is, and the caller has not logged in.
        """
        if permission not in permissions(caller.principal):
            self._refuse(caller, permission, what)

    def log_in(self, name: str, password: str, source: str, via: str = "") -> tuple[User, str]:
        """A new session, as its secret. `via`: the proxy by whose word `source` is.

        Raises:
            Unauthenticated: the name or the password is wrong.
            TooMany: it was tried too often, or too many do now.
        """
        try:
            user = self.login.check(name, password, source, via)
        except (Unauthenticated, TooMany) as err:
            self.denials.note(
                Caller(ANONYMOUS, source).entry(
                    "session.create", self._named(name), Outcome.DENIED, why=str(err)
                )
            )
            raise
        return user, self.sessions.begin(user, source)

    def check_password(self, caller: Caller, password: str) -> None:
        """That it is the caller's own, once more.

        Raises:
            Refused: it is not.
            TooMany: it was tried too often, or too many do now.
        """
        name = caller.principal.name
        try:
            self.login.check(name, password, caller.source)
        except Unauthenticated as err:
            self._deny(caller, f"user:{name}", why="the old password is wrong")
            raise Refused("the old password is wrong") from err

    def refuse(self, caller: Caller, what: str, why: str) -> NoReturn:
        """
        Raises:
            Refused: that goes on record.
            Unauthenticated: so it does, and the caller has not logged in.
        """
        self._deny(caller, what, why=why)
        if caller.principal.kind is PrincipalKind.ANONYMOUS:
            raise Unauthenticated(_NOBODY)
        raise Refused(f"{caller.principal.name} may not: {why}")

    def _named(self, name: str) -> str:
        """On record is a user's name: what else was typed there may be a password."""
        return f"user:{name}" if self.users.exists(name) else "user:unknown"

    def _known(self, authorization: str, source: str) -> Caller:
        bearer = _BEARER.fullmatch(authorization)
        if bearer is None:
            raise Unauthenticated("expected the header Authorization: Bearer TOKEN")
        secret = bearer[1]
        is_token = has_form(secret, api_tokens.PREFIX)
        if not is_token and not has_form(secret, session_rows.PREFIX):
            raise Unauthenticated("this is no token of this API")
        of_digest = digest(secret)
        principal = self._principal(of_digest, is_token)
        if principal is None:
            what = "token" if is_token else "session"
            raise Unauthenticated(f"this {what} is not known, or not any more")
        return Caller(principal, source, digest=of_digest)

    def _principal(self, of_digest: str, is_token: bool) -> Principal | None:
        known = self.remembered.get(of_digest)
        if known is not None:
            return known
        asked = self.remembered.now()
        rows = self.tokens if is_token else self.sessions
        principal = rows.principal(of_digest)
        if principal is not None:
            self.remembered.keep(of_digest, principal, asked)
        return principal

    def _refuse(self, caller: Caller, permission: Permission, what: str) -> None:
        self._deny(caller, what, permission=permission.value)
        if caller.principal.kind is PrincipalKind.ANONYMOUS:
            raise Unauthenticated(_NOBODY)
        raise Refused(f"{caller.principal.name} has no right of {permission} for {what}")

    def _deny(self, caller: Caller, what: str, **detail: str) -> None:
        self.denials.note(caller.entry("access.denied", what, Outcome.DENIED, **detail))


def permissions(principal: Principal) -> frozenset[Permission]:
    """Those that the principal has within some scope."""
    given = frozenset[Permission]().union(*(of.role.permissions for of in principal.grants))
    if principal.limit is None:
        return given
    return given & frozenset().union(*(of.role.permissions for of in principal.limit))


def make_access(
    engine: Engine,
    settings: AccessSettings | None = None,
    *,
    anonymous: bool = True,
    hasher: PasswordHasher | None = None,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
    clock: Callable[[], float] = time.monotonic,
) -> Access:
    settings = settings or AccessSettings()
    users, audit = Users(engine, now), Audit(engine, now)
    passwords = Passwords(hasher) if hasher else Passwords()
    return Access(
        users=users,
        sessions=Sessions(
            engine,
            now,
            idle=timedelta(seconds=settings.session_idle),
            lifetime=timedelta(seconds=settings.session_lifetime),
        ),
        tokens=ApiTokens(engine, now),
        audit=audit,
        login=Login(users, passwords, Attempts(settings.logins_per_minute, clock)),
        denials=Denials(audit, clock),
        remembered=Remembered(clock),
        anonymous=anonymous,
    )


def _shown(target: Target) -> str:
    if target == FLEET:
        return "fleet"
    return f"vm:{target.vm_id}" if target.vm_id else f"host:{target.host_id}"
