"""Who may say on which host a VM is, and with which tags: through a real collector's ports."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
from opentelemetry.proto.metrics.v1.metrics_pb2 import MetricsData

from enrolled import ADMIN, Agent, World, enrolling
from novacron_contract.access import Role
from novacron_store.state import Inventory, Vm
from novacron_store.state.identities import Standing
from novacron_store.state.ingest_tokens import IngestTokens
from principals import signed_in

PROTOBUF = {"content-type": "application/x-protobuf"}
PATIENCE_S = 30.0


@dataclass
class Stage:
    """A VM of the agent's host, tagged team=web there, and who else tells of it."""

    world: World
    agent: Agent
    vm: str
    senders: tuple[dict[str, str], dict[str, str]]  # headers: with an ingest token, with nothing
    operators: dict[str, dict[str, str]]  # headers, by scope

    def honest(self) -> None:
        with self.agent.client() as client:
            sent = client.post(
                "/v1/metrics", content=self.said("h-1", "web", "shop"), headers=PROTOBUF
            )
            assert sent.status_code == 200, sent.text

    def claim(self) -> None:
        """By each of the others, of a moment later."""
        for headers in self.senders:
            for body in (self.said("h-2", "db", "mine", ahead_s=30), self.host("mine", 30)):
                url = f"{self.world.collector.http}/v1/metrics"
                sent = httpx.post(
                    url, content=body, headers={**PROTOBUF, **headers}, timeout=PATIENCE_S
                )
                assert sent.status_code == 200, sent.text

    def said(self, host: str, team: str, name: str, ahead_s: float = 0) -> bytes:
        told = {"vm.id": self.vm, "vm.name": name, "vm.host.id": host, "team": team}
        return request(told, ahead_s)

    def host(self, name: str, ahead_s: float = 0) -> bytes:
        return request({"host.id": "h-1", "host.name": name}, ahead_s)

    def known(self) -> Vm | None:
        return next((vm for vm in Inventory(self.world.state).vms() if vm.id == self.vm), None)

    def may(self) -> set[str]:
        """The scopes whose operator may start the VM."""
        body = {"verb": "start", "targets": {"vms": [self.vm]}, "dry_run": True}
        url = f"{self.world.collector.api}/v1/operations"
        told = {
            scope: httpx.post(url, json=body, headers=headers, timeout=PATIENCE_S).status_code
            for scope, headers in self.operators.items()
        }
        assert set(told.values()) <= {200, 403}, told
        return {scope for scope, status in told.items() if status == 200}


def request(resource: dict[str, str], ahead_s: float) -> bytes:
    data = MetricsData()
    part = data.resource_metrics.add()
    for key, text in resource.items():
        part.resource.attributes.add(key=key).value.string_value = text
    gauge = part.scope_metrics.add().metrics.add(name="cpu").gauge
    gauge.data_points.add(as_int=1, time_unix_nano=time.time_ns() + int(ahead_s * 1e9))
    return bytes(data.SerializeToString())


def until(is_so: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with enrolling(tmp_path) as world:
        state = world.state
        _, secret = IngestTokens(state).create("sender", ADMIN, datetime.now(UTC), None)
        scopes = ("tag:team=web", "tag:team=db", "host:h-1", "host:h-2")
        token = {"authorization": f"Bearer {secret}"}
        url = f"{world.collector.http}/v1/metrics"  # which learns of the token in a moment
        until(lambda: httpx.post(url, headers={**PROTOBUF, **token}).status_code == 200)
        yield Stage(
            world,
            world.joined("agent"),
            str(uuid4()),
            (token, {}),
            {scope: signed_in(state, Role.OPERATOR, scope) for scope in scopes},
        )


def test_no_sender_without_an_identity_moves_an_agents_vm_into_a_scope_or_out_of_it(
    stage: Stage,
) -> None:
    stage.honest()
    until(stage.known)
    honest = stage.known()
    assert stage.may() == {"tag:team=web", "host:h-1"}

    stage.claim()
    until(lambda: "tells of" in stage.world.collector.log)

    assert stage.known() == honest
    assert stage.may() == {"tag:team=web", "host:h-1"}
    said = f"a sender without an agent's identity tells of VM '{stage.vm}' otherwise than its agent"
    assert said in stage.world.collector.log
    counted = stage.world.collector.counter("points")
    assert counted == 5, "what they measured is stored as ever"


def test_neither_a_crash_between_nor_who_was_first_changes_that(stage: Stage) -> None:
    stage.claim()
    until(stage.known)
    assert stage.may() == {"tag:team=db", "host:h-2"}

    stage.honest()
    until(lambda: stage.may() == {"tag:team=web", "host:h-1"})
    stage.world.collector.kill()
    stage.world.collector.start()
    stage.claim()
    until(lambda: "otherwise than its agent" in stage.world.collector.log)

    vm = stage.known()
    assert vm is not None
    assert (vm.name, vm.reported_by) == ("shop", stage.agent.id)
    assert stage.may() == {"tag:team=web", "host:h-1"}
    later = vm.last_seen
    stage.honest()
    until(lambda: (now := stage.known()) is not None and now.last_seen > later)


def test_when_the_agent_is_revoked_others_are_believed(stage: Stage) -> None:
    stage.honest()
    until(stage.known)
    stage.world.identities.end(stage.agent.id, Standing.REVOKED, "sold", datetime.now(UTC))

    stage.claim()

    until(lambda: stage.may() == {"tag:team=db", "host:h-2"})
    host = Inventory(stage.world.state).host("h-1")
    assert (host.name, host.reported_by) == ("mine", None)
