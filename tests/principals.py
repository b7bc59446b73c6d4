"""Users for tests: somebody with a role, as the headers of a request."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from argon2 import PasswordHasher
from sqlalchemy import Engine

from novacron_collector.access.access import Access, make_access
from novacron_collector.access.settings import AccessSettings
from novacron_contract.access import SYSTEM, Grant, Principal, PrincipalKind, Role, scope
from novacron_store.state import ApiTokens, Caller, NewToken, Sessions, User, Users

QUICK = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)  # there are many in tests


@dataclass
class Clock:
    """Time that a test moves."""

    at: datetime = datetime(2026, 11, 24, 12, tzinfo=UTC)

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return self.at.timestamp()

    def wait(self, **length: float) -> None:
        self.at += timedelta(**length)


def access_of(
    engine: Engine,
    *,
    anonymous: bool = True,
    logins_per_minute: int = 60,
    clock: Clock | None = None,
) -> Access:
    settings = AccessSettings(logins_per_minute=logins_per_minute)
    times = {"now": clock.now, "clock": clock.monotonic} if clock else {}
    return make_access(engine, settings, anonymous=anonymous, hasher=QUICK, **times)  # type: ignore[arg-type]


def signed_in(engine: Engine, role: Role, within: str = "fleet") -> dict[str, str]:
    """A new user with this grant, by a token."""
    user = _user(engine, role, within)
    principal = Principal(PrincipalKind.USER, user.id, user.name, user.grants)
    _, secret = ApiTokens(engine).create(NewToken("test"), Caller(principal))
    return {"Authorization": f"Bearer {secret}"}


def logged_in(engine: Engine, role: Role, within: str = "fleet") -> dict[str, str]:
    """The same by a session."""
    secret = Sessions(engine).begin(_user(engine, role, within), "::1")
    return {"Authorization": f"Bearer {secret}"}


def _user(engine: Engine, role: Role, within: str) -> User:
    name, grant = f"{role}-{uuid4().hex[:8]}", Grant(role, scope(within))
    return Users(engine).add(name, None, (grant,), Caller(SYSTEM))
