"""Users, sessions and tokens in the database: what holds however many change them at once."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from argon2 import PasswordHasher
from sqlalchemy import Engine

from novacron_contract.access import (
    SYSTEM,
    Grant,
    Permission,
    Principal,
    PrincipalKind,
    Role,
    scope,
)
from novacron_contract.errors import Conflict, NotFound, Unauthenticated
from novacron_store.state import (
    ApiTokens,
    Audit,
    Caller,
    Change,
    NewToken,
    Sessions,
    User,
    Users,
    open_state,
)
from novacron_store.state.audit import Wanted
from novacron_store.state.copy import dump, load
from novacron_store.state.credentials import digest, has_form, mint
from novacron_store.state.passwords import Passwords
from principals import QUICK, Clock

BY = Caller(SYSTEM)
ADMIN = (Grant(Role.ADMIN),)


def at_once(count: int, work: Callable[[int], object]) -> list[str]:
    """What came of it: the names of errors, or nothing."""

    def one(number: int) -> str:
        try:
            work(number)
        except (Conflict, NotFound, Unauthenticated) as err:
            return type(err).__name__
        return ""

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(one, range(count)))


def as_user(user: User) -> Caller:
    return Caller(Principal(PrincipalKind.USER, user.id, user.name, user.grants))


def test_of_admins_who_remove_each_other_at_once_one_stays(engine: Engine) -> None:
    users = Users(engine)
    for number in range(8):
        users.add(f"admin-{number}", None, ADMIN, BY)

    def work(number: int) -> None:
        match number % 3:
            case 0:
                users.remove(f"admin-{number}", BY)
            case 1:
                users.change(f"admin-{number}", Change(disabled=True), BY)
            case _:
                users.change(f"admin-{number}", Change(grants=()), BY)

    assert sorted(at_once(8, work)) == [""] * 7 + ["Conflict"]
    left = [user for user in users.all() if user.grants == ADMIN and user.disabled is None]
    assert len(left) == 1
    assert Audit(engine).verify().head.seq == 15


def test_of_first_users_made_at_once_one_is_first(engine: Engine) -> None:
    users = Users(engine)

    def work(number: int) -> None:
        users.add(f"admin-{number}", None, ADMIN, BY, first=True)

    assert sorted(at_once(6, work)) == [""] + ["Conflict"] * 5
    assert len(users.all()) == 1


def test_a_name_is_given_once(engine: Engine) -> None:
    users = Users(engine)
    assert sorted(at_once(6, lambda _: users.add("ann", None, (), BY))) == [""] + ["Conflict"] * 5


def test_logins_and_changes_of_one_user_at_once_all_end(engine: Engine) -> None:
    users, sessions, tokens = Users(engine), Sessions(engine), ApiTokens(engine)
    user = users.add("ann", None, (), BY)

    def work(number: int) -> None:
        for _ in range(5):
            match number % 4:
                case 0:
                    sessions.begin(user, "::1")
                case 1:
                    users.change("ann", Change(password="hash"), BY)
                case 2:
                    tokens.create(NewToken("ci"), as_user(user))
                case _:
                    users.change("ann", Change(grants=(Grant(Role.VIEWER),)), BY)

    assert at_once(8, work) == [""] * 8
    assert Audit(engine).verify().bad_seq is None


def test_who_was_disabled_meanwhile_gets_no_session_and_no_token(engine: Engine) -> None:
    users = Users(engine)
    user = users.add("ann", None, ADMIN, BY)
    users.add("root", None, ADMIN, BY)
    users.change("ann", Change(disabled=True), BY)
    with pytest.raises(Unauthenticated):
        Sessions(engine).begin(user, "::1")
    with pytest.raises(NotFound):
        ApiTokens(engine).create(NewToken("ci"), as_user(user))


def test_a_user_has_so_many_sessions_and_tokens(engine: Engine) -> None:
    clock = Clock()
    sessions, tokens = Sessions(engine, clock.now), ApiTokens(engine, clock.now)
    user = Users(engine).add("ann", None, (), BY)
    secrets = []
    for _ in range(101):
        clock.wait(seconds=1)
        secrets.append(sessions.begin(user, "::1"))
        if len(secrets) <= 100:
            tokens.create(NewToken("ci"), as_user(user))
    there = [sessions.principal(digest(secret)) is not None for secret in secrets]
    assert there == [False] + [True] * 100
    with pytest.raises(Conflict, match="100 tokens"):
        tokens.create(NewToken("ci"), as_user(user))


def test_sessions_that_are_over_are_gone_with_the_next_login(engine: Engine) -> None:
    clock = Clock()
    sessions = Sessions(engine, clock.now, idle=timedelta(hours=1))
    user = Users(engine).add("ann", None, (), BY)
    old = sessions.begin(user, "::1")
    clock.wait(hours=1)
    assert sessions.principal(digest(old)) is None
    sessions.begin(user, "::1")
    assert sum('"table": "sessions"' in line for line in dump(engine)) == 1


def test_a_copy_has_users_grants_tokens_and_sessions(engine: Engine, tmp_path: Path) -> None:
    users = Users(engine)
    given = (Grant(Role.OPERATOR, scope("tag:team=web=1")), Grant(Role.VIEWER))
    user = users.add("ann", Passwords(QUICK).hashed("correct horse"), given, BY)
    session = Sessions(engine).begin(user, "::1")
    limit = (Grant(Role.VIEWER, scope("host:h1")),)
    made = [ApiTokens(engine).create(NewToken("ci", of), as_user(user))[1] for of in (limit, None)]
    other = open_state(f"sqlite:///{tmp_path}/other.db")

    load(other, dump(engine))

    assert Users(other).all() == users.all()
    assert Passwords(QUICK).matches(Users(other).password("ann"), "correct horse")
    for secret in made:
        of = digest(secret)
        assert ApiTokens(other).principal(of) == ApiTokens(engine).principal(of)
    assert Sessions(other).principal(digest(session)) is not None
    assert Audit(other).verify() == Audit(engine).verify()
    other.dispose()


def test_a_users_rights_are_those_of_the_moment(engine: Engine) -> None:
    users, sessions = Users(engine), Sessions(engine)
    secret = digest(sessions.begin(users.add("ann", None, (), BY), "::1"))
    principal = sessions.principal(secret)
    assert principal is not None
    assert not principal.may(Permission.READ)
    users.change("ann", Change(grants=ADMIN), BY)
    principal = sessions.principal(secret)
    assert principal is not None
    assert principal.may(Permission.ADMINISTER)


def test_what_is_on_record_of_a_user_outlives_the_user(engine: Engine) -> None:
    users = Users(engine)
    users.add("ann", None, (), BY)
    users.remove("ann", Caller(SYSTEM, "::1", "left"))
    rows = Audit(engine).rows(Wanted(target="user:ann"))
    assert [(row.action, row.reason) for row in rows] == [
        ("user.remove", "left"),
        ("user.create", ""),
    ]


def test_secrets_are_long_and_say_what_they_are() -> None:
    secrets = {mint("nct_") for _ in range(1000)}
    assert len(secrets) == 1000
    assert all(has_form(secret, "nct_") for secret in secrets)
    assert not any(has_form(secret, "nvs_") for secret in secrets)
    assert not has_form(mint("nct_") + "\n", "nct_")
    assert not has_form("nct_" + "ü" * 43, "nct_")


def test_passwords_are_argon2id_and_a_weaker_hash_is_found(engine: Engine) -> None:
    passwords = Passwords(PasswordHasher(time_cost=2, memory_cost=1024, parallelism=1))
    kept = passwords.hashed("correct horse")
    assert kept.startswith("$argon2id$")
    assert not passwords.is_outdated(kept)
    assert passwords.is_outdated(QUICK.hash("correct horse"))
    assert not passwords.matches(None, "nobody has this one")
    assert not passwords.matches("no hash at all", "x")
