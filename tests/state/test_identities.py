"""Agents' identities, and the tokens they join by."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine

from novacron_contract.access import SYSTEM
from novacron_contract.errors import Conflict, NotFound, NovaCronError, Refused, Unauthenticated
from novacron_store.state.audit import Audit, Caller, Wanted
from novacron_store.state.copy import dump
from novacron_store.state.credentials import digest
from novacron_store.state.identities import Certificate, Identities, Identity, Standing
from novacron_store.state.ingest_tokens import IngestTokens
from novacron_store.state.join_tokens import JoinTokens

T0 = datetime(2026, 12, 1, 12, 0, tzinfo=UTC)
ADMIN = Caller(SYSTEM, "192.0.2.1")
WEEK, HOUR = timedelta(days=7), timedelta(hours=1)


def identity(agent_id: str = "a-1", host_id: str | None = "h-1", at: datetime = T0) -> Identity:
    return Identity(
        agent_id=agent_id,
        host_id=host_id,
        name="kvm-7",
        version="0.1.0",
        standing=Standing.ACTIVE,
        reason="",
        joined=at,
        joined_by="t-1",
        joined_from="192.0.2.7",
        ended=None,
    )


def certificate(serial: str, agent_id: str = "a-1", at: datetime = T0) -> Certificate:
    return Certificate(serial, agent_id, at, None, at + WEEK)


def secret_of(engine: Engine, uses: int = 1) -> str:
    tokens = JoinTokens(engine)
    return digest(tokens.create("lab", ADMIN, T0, T0 + HOUR, uses)[1])


def joined(engine: Engine, *agents: tuple[str, str | None]) -> Identities:
    identities = Identities(engine)
    token = secret_of(engine, len(agents))
    for agent_id, host_id in agents:
        identities.join(identity(agent_id, host_id), certificate(f"5{agent_id}", agent_id), token)
    return identities


def test_an_agent_joins_once_per_use_of_the_token(engine: Engine) -> None:
    identities = joined(engine, ("a-1", "h-1"))
    assert identities.identity("a-1") == identity()
    assert [one.serial for one in identities.certificates("a-1")] == ["5a-1"]
    assert [token.uses for token in JoinTokens(engine).all()] == [1]


def test_of_a_hundred_that_use_a_token_for_one_at_a_time_one_joins(engine: Engine) -> None:
    identities, token, outcomes = Identities(engine), secret_of(engine), list[str]()

    def join(number: int) -> None:
        someone = identity(f"a-{number}", f"h-{number}")
        try:
            identities.join(someone, certificate(f"{number:x}", f"a-{number}"), token)
            outcomes.append("joined")
        except NovaCronError as err:
            outcomes.append(f"{type(err).__name__}: {err}")

    threads = [threading.Thread(target=join, args=(number,)) for number in range(100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    used_up = "Unauthenticated: this join token is used up: `novacron agent invite` makes another"
    assert sorted(outcomes) == [used_up] * 99 + ["joined"]
    assert len(identities.all()) == 1


def test_a_token_that_is_expired_unknown_or_deleted_adds_nobody(engine: Engine) -> None:
    identities, tokens = Identities(engine), JoinTokens(engine)
    token, secret = tokens.create("lab", ADMIN, T0, T0 + HOUR, 1)
    late = identity(at=T0 + HOUR)
    with pytest.raises(Unauthenticated, match="has expired: `novacron agent invite`"):
        identities.join(late, certificate("1"), digest(secret))
    tokens.delete(token.id, ADMIN)
    for unknown in (secret, "nvj_guess"):
        with pytest.raises(Unauthenticated, match="is unknown, or was deleted"):
            identities.join(identity(), certificate("1"), digest(unknown))
    with pytest.raises(NotFound):
        tokens.delete(token.id, ADMIN)
    assert identities.all() == []


@pytest.mark.parametrize("other", [("a-1", "h-2"), ("a-2", "h-1")])
def test_whoever_has_an_identity_is_to_be_revoked_first(
    engine: Engine, other: tuple[str, str]
) -> None:
    identities, token = joined(engine, ("a-1", "h-1")), secret_of(engine)
    with pytest.raises(Conflict, match="`novacron agent revoke a-1` first"):
        identities.join(identity(*other), certificate("2", other[0]), token)
    assert [one.uses for one in JoinTokens(engine).all() if one.name == "lab"].count(0) == 1
    identities.end("a-1", Standing.REVOKED, "sold", T0 + HOUR)
    identities.join(identity(*other), certificate("2", other[0]), token)
    assert identities.identity(other[0]).standing is Standing.ACTIVE


def test_a_revoked_agents_certificates_end(engine: Engine) -> None:
    identities = joined(engine, ("a-1", "h-1"))
    ended = identities.end("a-1", Standing.REVOKED, "sold", T0 + HOUR)
    assert (ended.standing, ended.reason, ended.ended) == ("revoked", "sold", T0 + HOUR)
    assert identities.certificates("a-1")[0].ends == T0 + HOUR
    with pytest.raises(Conflict, match="revoked already"):
        identities.end("a-1", Standing.REVOKED, "", T0)
    with pytest.raises(Refused, match="this agent is revoked: sold"):
        identities.renew(certificate("6"))
    with pytest.raises(NotFound, match="no agent has joined as 'nobody'"):
        identities.end("nobody", Standing.REVOKED, "", T0)


def test_the_old_certificate_ends_soon_after_the_new_one_was_used(engine: Engine) -> None:
    identities = joined(engine, ("a-1", "h-1"))
    identities.renew(certificate("6", at=T0 + HOUR))
    assert [one.ends for one in identities.certificates("a-1")] == [T0 + HOUR + WEEK, T0 + WEEK]
    identities.used("6", T0 + 2 * HOUR)
    new, old = identities.certificates("a-1")
    assert (new.used, new.ends) == (T0 + 2 * HOUR, T0 + HOUR + WEEK)
    assert old.ends == T0 + 2 * HOUR + timedelta(minutes=5)
    identities.used("6", T0 + 3 * HOUR)
    assert identities.certificates("a-1") == [new, old]


def test_a_host_is_bound_once_and_to_one_agent(engine: Engine) -> None:
    identities = joined(engine, ("a-1", None), ("a-2", None))
    assert identities.bind_host("a-1", "h-1") == "h-1"
    assert identities.bind_host("a-1", "h-9") == "h-1"
    with pytest.raises(Conflict, match="the host 'h-1'"):
        identities.bind_host("a-2", "h-1")
    assert identities.identity("a-2").host_id is None


def test_a_lost_journal_is_told_and_a_copy_is_quarantined(engine: Engine) -> None:
    identities = joined(engine, ("a-1", "h-1"))
    first = identities.saw_instance("a-1", "A", T0)
    assert (first.is_new, first.before) == (True, "")
    assert not identities.saw_instance("a-1", "A", T0).is_new
    second = identities.saw_instance("a-1", "B", T0)
    assert (second.is_new, second.before) == (True, "A")
    with pytest.raises(Refused, match="two machines use this identity"):
        identities.saw_instance("a-1", "A", T0)
    assert identities.identity("a-1").standing is Standing.QUARANTINED
    with pytest.raises(Refused, match="quarantined"):
        identities.saw_instance("a-1", "B", T0)


def test_a_renamed_agent_keeps_its_certificates(engine: Engine) -> None:
    identities = joined(engine, ("a-1", "h-1"))
    assert identities.rename("a-1", "db-host") == replace(identity(), name="db-host")
    with pytest.raises(NotFound):
        identities.rename("nobody", "x")


def test_a_copy_asks_for_what_is_newer(engine: Engine) -> None:
    identities = joined(engine, ("a-1", "h-1"), ("a-2", "h-2"))
    first = identities.since(0)
    assert len(first.identities) == len(first.certificates) == 2
    assert identities.since(first.number).identities == ()
    identities.end("a-2", Standing.REVOKED, "sold", T0)
    second = identities.since(first.number)
    assert [one.agent_id for one in second.identities] == ["a-2"]
    assert [one.serial for one in second.certificates] == ["5a-2"]


def test_ingest_tokens_are_revoked_and_two_hold_at_a_time(engine: Engine) -> None:
    tokens = IngestTokens(engine)
    old, _ = tokens.create("prometheus", ADMIN, T0, None)
    number, _ = tokens.since(0)
    new, secret = tokens.create("prometheus", ADMIN, T0 + HOUR, T0 + WEEK)
    number, changed = tokens.since(number)
    assert [(one.id, known) for known, one in changed] == [(new.id, digest(secret))]
    assert old.holds(T0)
    assert [new.holds(at) for at in (T0, T0 + WEEK)] == [True, False]
    tokens.used({old.id: T0 + HOUR})
    assert not tokens.revoke(old.id, T0 + HOUR, ADMIN).holds(T0)
    assert [(one.name, one.last_used) for one in tokens.all()] == [
        ("prometheus", None),
        ("prometheus", T0 + HOUR),
    ]
    assert [one.id for _, one in tokens.since(number)[1]] == [old.id]
    with pytest.raises(Conflict):
        tokens.revoke(old.id, T0, ADMIN)
    with pytest.raises(NotFound):
        tokens.revoke("nobody", T0, ADMIN)


def test_what_happens_to_identities_and_tokens_is_on_record(engine: Engine) -> None:
    identities, join, ingest = (
        joined(engine, ("a-1", "h-1")),
        JoinTokens(engine),
        IngestTokens(engine),
    )
    identities.rename("a-1", "x", ADMIN.entry("agent.rename", "agent:a-1"))
    identities.saw_instance("a-1", "A", T0)
    identities.saw_instance("a-1", "B", T0, ADMIN.entry("agent.quarantine", "agent:a-1"))
    with pytest.raises(Refused):
        identities.saw_instance("a-1", "A", T0, ADMIN.entry("agent.quarantine", "agent:a-1"))
    join.delete(join.all()[0].id, ADMIN)
    ingest.revoke(ingest.create("p", ADMIN, T0, None)[0].id, T0, ADMIN)
    actions = [row.action for row in Audit(engine).rows(Wanted())]
    assert actions[::-1] == [
        "agent.invite",
        "agent.rename",
        "agent.quarantine",
        "join-token.delete",
        "ingest-token.create",
        "ingest-token.revoke",
    ]


def test_no_secret_is_in_the_database(engine: Engine) -> None:
    secrets = [
        JoinTokens(engine).create("lab", ADMIN, T0, T0 + HOUR, 1)[1],
        IngestTokens(engine).create("prometheus", ADMIN, T0, None)[1],
    ]
    lines = "\n".join(dump(engine))
    assert "join_tokens" in lines
    assert all(secret not in lines for secret in secrets)
    assert [len(secret) for secret in secrets] == [47, 47]
