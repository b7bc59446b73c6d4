"""What administrators of agents have in hand, for tests of the API."""

from __future__ import annotations

from sqlalchemy import Engine

from novacron_collector.channel.enrolling import Enrolling
from novacron_store.state.identities import Identities
from novacron_store.state.ingest_tokens import IngestTokens
from novacron_store.state.join_tokens import JoinTokens

PIN = "p" * 43
ADDRESS = "collector.example.com:8441"
NAMES = ("collector.example.com", "127.0.0.1", "::1")


def enrolment_of(engine: Engine) -> Enrolling:
    return Enrolling(
        Identities(engine), JoinTokens(engine), IngestTokens(engine), PIN, ADDRESS, NAMES
    )
