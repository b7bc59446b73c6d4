"""A VM by the whole way on a real host: from a file on the command line to a guest that finds its
seed, and back to a host that holds what it held before."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cli.terminals import PROGRAM
from creating_world import World as Host
from creating_world import world_of
from enrolled import World, enrolling, running, until
from kvm_herd import herd_of
from novacron_contract.access import Role
from novacron_store.state import Audit, Inventory
from novacron_store.state.commands import Journals
from principals import signed_in

pytestmark = [pytest.mark.lab, pytest.mark.timeout(300)]
SECRET = "correct horse battery"
SPEC = """\
name: web-{n}
memory_mib: 96
virtualization: qemu
disks:
- size_gib: 0.0625
- linked: {pool: images, volume: base.qcow2}
networks:
- network: lan
cloud_init:
  user_data: |
    #cloud-config
    # SECRET
tags: {team: web}
paused: true
"""


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    with (
        tempfile.TemporaryDirectory(prefix="nclab-o-", dir="/tmp") as folder,
        herd_of(0) as herd,
        world_of(herd.host, Path(folder)) as found,
    ):
        yield found


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with enrolling(tmp_path) as world:
        yield world


def test_vms_are_made_from_a_file_and_nothing_is_left_of_them(
    host: Host, world: World, tmp_path: Path
) -> None:
    before = host.listing()
    agent = world.agent("one", host_id=None)
    agent.config.write_text(agent.config.read_text().replace("test:///default", host.host.uri))
    assert agent.join(world.line()).returncode == 0
    token = signed_in(world.state, Role.VM_ADMIN)["Authorization"].removeprefix("Bearer ")
    file, inventory = tmp_path / "web.yaml", Inventory(world.state)
    journals = Journals(world.state, Audit(world.state))
    file.write_text(SPEC.replace("SECRET", SECRET))

    def novacron(*words: str) -> Any:
        ended = subprocess.run(
            [PROGRAM, *words, "--json"],
            env={**os.environ, "NOVACRON_URL": world.collector.api, "NOVACRON_TOKEN": token},
            capture_output=True,
            text=True,
            check=False,
        )
        assert ended.returncode == 0, ended.stderr + ended.stdout
        return json.loads(ended.stdout)

    with running(agent):
        where = until(inventory.hosts)[0].id
        until(lambda: journals.verbs([agent.id]))  # it has said what it can
        made = novacron("vm", "create", str(file), "--count", "2", "--host", where, "--wait")
        assert made["commands"]["succeeded"] == 2
        seeds = [path.read_bytes() for path in host.pool("default").glob("novacron-*")]
        assert sum(SECRET.encode() in seed for seed in seeds) == 2
        assert sorted(vm.name for vm in inventory.vms()) == ["web-1", "web-2"]

        kept = ("--tag", "team=web", "--snapshot", "first", "--memory", "--wait")
        assert novacron("vm", "snapshot", *kept)["commands"]["succeeded"] == 2
        back = novacron("vm", "revert", "web-1", "--snapshot", "first", "--yes", "--wait")
        assert back["commands"]["succeeded"] == 1
        told_of = novacron("vm", "snapshots", "--tag", "team=web")["answers"]
        found = [(s["snapshot"], s["state"]) for of in told_of for s in of["detail"]["snapshots"]]
        assert found == [("first", "paused")] * 2

        every = ("--tag", "team=web", "--yes", "--wait")
        for words in (
            ("attach-disk", "--size-gib", "0.01", "--pool", "images"),
            ("grow-disk", "--disk", "vdd", "--size-gib", "0.02"),
            ("attach-nic", "--network", "lan"),
        ):
            assert novacron("vm", *words, *every)["commands"]["succeeded"] == 2

        plan = novacron("vm", "delete", "--tag", "team=web", "--dry-run")["plans"]
        told = [[one["kind"] for one in of["detail"]["plan"]].count("volume") for of in plan]
        assert told == [4, 4]
        gone = novacron("vm", "delete", "--tag", "team=web", "--yes", "--force", "--wait")
        assert gone["commands"]["succeeded"] == 2
    assert inventory.vms() == []
    assert host.listing() == before
    for folder in (world.collector.folder, agent.folder):
        assert SECRET.encode() not in (folder / "log").read_bytes()
