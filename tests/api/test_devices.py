"""Disks and cards that VMs are given over the API: who may, and what has to be confirmed."""

from __future__ import annotations

from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import Engine

from api.answers import json_of
from api.test_operations import ONE_ENGINE, api_of
from command_world import World
from novacron_contract.access import Role
from principals import signed_in


@pytest.fixture
def world(engine: Engine) -> World:
    world = World(engine)
    world.add_host(2, team="web")
    world.add_host(1)
    return world


@pytest.fixture
def http(world: World) -> FlaskClient:
    return api_of(world)


@ONE_ENGINE
@pytest.mark.parametrize(
    ("verb", "arguments", "message"),
    [
        ("attach-disk", {"disk": {"volume": {"volume": "a"}}}, "disk.volume: 3 VMs cannot write"),
        ("attach-nic", {"nic": {"bridge": "b", "mac": "52:54:00:00:00:01"}}, "nic.mac: 3 VMs can"),
    ],
)
def test_a_device_of_one_vm_is_not_given_to_two(
    http: FlaskClient,
    engine: Engine,
    world: World,
    verb: str,
    arguments: dict[str, Any],
    message: str,
) -> None:
    admin = signed_in(engine, Role.VM_ADMIN)
    asked = {"verb": verb, "arguments": arguments, "targets": {"vms": [world.vms[0]]}}
    assert http.post("/v1/operations", json=asked, headers=admin).status_code == 201
    asked["targets"] = {"select": {"name": "*"}}
    answer = http.post("/v1/operations", json=asked, headers=admin)
    assert json_of(answer, 400)["message"].startswith(message)


@ONE_ENGINE
@pytest.mark.parametrize(
    ("verb", "arguments", "is_the_hosts"),
    [
        ("attach-disk", {"disk": {"size_gib": 1}}, False),
        ("attach-disk", {"disk": {"volume": {"volume": "a"}}}, True),
        ("attach-disk", {"disk": {"clone": {"volume": "a"}}}, True),
        ("attach-disk", {"disk": {"linked": {"volume": "a"}}}, True),
        ("attach-nic", {"nic": {"network": "default"}}, False),
        ("attach-nic", {"nic": {"bridge": "br0"}}, True),
    ],
)
def test_what_is_the_hosts_is_given_by_who_manages_the_host(
    http: FlaskClient,
    engine: Engine,
    world: World,
    verb: str,
    arguments: dict[str, Any],
    is_the_hosts: bool,
) -> None:
    targets = {"vms": [world.vms[0]]}
    body = {"verb": verb, "arguments": arguments, "targets": targets}
    hidden = {"steps": [{"verb": "start", "undo": {"verb": verb, "arguments": arguments}}]}
    for within, refused in (("tag:team=web", is_the_hosts), (f"host:{world.hosts[0]}", False)):
        headers = signed_in(engine, Role.VM_ADMIN, within)
        for asked in (body, {**hidden, "targets": targets}):
            answer = http.post("/v1/operations", json=asked, headers=headers)
            assert answer.status_code == (403 if refused else 201), answer.text


@ONE_ENGINE
@pytest.mark.parametrize(
    ("how", "why"),
    [
        ({"delete_volume": True}, "what is on the disk goes with it"),
        ({"force": True}, "guests may lose what they have not written"),
    ],
)
def test_a_disk_that_takes_something_with_it_is_confirmed(
    http: FlaskClient, engine: Engine, world: World, how: dict[str, bool], why: str
) -> None:
    admin = signed_in(engine, Role.VM_ADMIN)
    body = {"verb": "detach-disk", "targets": {"vms": [world.vms[0]]}}
    asked = {**body, "arguments": {"disk": "vdb", **how}}
    refused = json_of(http.post("/v1/operations", json=asked, headers=admin), 409)
    assert refused["message"].startswith(why)
    asked["confirm"] = "vm-0-0"
    assert http.post("/v1/operations", json=asked, headers=admin).status_code == 201
    harmless = {**body, "arguments": {"disk": "vdb"}}
    assert http.post("/v1/operations", json=harmless, headers=admin).status_code == 201
