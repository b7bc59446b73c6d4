"""Who is reporting."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest

from novacron_agent.identity import architecture, persistent_id, this_machine
from novacron_contract.errors import ConfigError


def test_the_machine_is_known_by_its_machine_id(tmp_path: Path) -> None:
    machine_id = tmp_path / "machine-id"
    machine_id.write_text("3d1219c7c4c5404aaa1f6d2a48adfda4\n")

    machine = this_machine(tmp_path / "agent-id", machine_id_file=machine_id)

    assert machine.id == "3d1219c7c4c5404aaa1f6d2a48adfda4"
    assert machine.resource["host.name"] == machine.name
    assert machine.os_type == "linux"
    assert set(machine.resource) == {
        "host.id",
        "host.name",
        "host.arch",
        "os.type",
        "os.description",
        "os.version",
    }


@pytest.mark.parametrize("content", [None, b"", b"uninitialized\n", b"\xff\xfe"])
def test_without_a_machine_id_one_is_made_and_kept(tmp_path: Path, content: bytes | None) -> None:
    machine_id = tmp_path / "machine-id"
    if content is not None:
        machine_id.write_bytes(content)

    first = this_machine(tmp_path / "state/agent-id", machine_id_file=machine_id)
    second = this_machine(tmp_path / "state/agent-id", machine_id_file=machine_id)

    assert first.id == second.id == (tmp_path / "state/host-id").read_text().strip()
    assert uuid.UUID(first.id)


def test_the_setting_goes_before_the_machine_id(tmp_path: Path) -> None:
    assert this_machine(tmp_path / "agent-id", "kvm-7").id == "kvm-7"


def test_an_agents_id_is_made_once(tmp_path: Path) -> None:
    place = tmp_path / "new/folder/agent-id"
    assert persistent_id(place) == persistent_id(place)
    assert [path.name for path in place.parent.iterdir()] == ["agent-id"]


def test_a_spoilt_id_is_not_replaced_in_silence(tmp_path: Path) -> None:
    place = tmp_path / "agent-id"
    for content in (b"", b"not a uuid", b"\xff"):
        place.write_bytes(content)
        with pytest.raises(ConfigError, match="agent-id: "):
            persistent_id(place)
        assert place.read_bytes() == content


def test_an_id_that_cannot_be_written_says_what_to_set() -> None:
    with pytest.raises(ConfigError, match=r"agent-id: .*set \[agent\] id_file"):
        persistent_id(Path("/proc/nowhere/agent-id"))


def test_processors_have_opentelemetrys_names() -> None:
    assert architecture("x86_64") == "amd64"
    assert architecture("riscv64") == "riscv64"
