"""The published schema of a VM's spec allows and refuses what the program does."""

from __future__ import annotations

from typing import Any

import jsonschema
import pytest

from novacron_contract import vm_spec
from novacron_contract.errors import BadMessage

_VALID = jsonschema.Draft202012Validator(vm_spec.schema())
_LEAST: dict[str, Any] = {"name": "web-1", "memory_mib": 512}


def test_it_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(vm_spec.schema())
    assert vm_spec.schema()["required"] == ["name", "memory_mib"]
    assert vm_spec.schema()["properties"]["vcpus"]["default"] == 1


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"disks": [{"size_gib": 1}, {"clone": {"volume": "a"}, "size_gib": 2}]},
        {"disks": [{"linked": {"pool": "p", "volume": "a"}, "bus": "scsi"}]},
        {"networks": [{"bridge": "br0", "outbound": {"average_kib": 5}}]},
        {"cloud_init": {"user_data": "#cloud-config\n"}, "tags": {"team": "web"}},
    ],
)
def test_both_take_it(more: dict[str, Any]) -> None:
    _VALID.validate({**_LEAST, **more})
    vm_spec.parse({**_LEAST, **more})


@pytest.mark.parametrize(
    "more",
    [
        {"name": "a/b"},
        {"name": "-rf"},
        {"memory_mib": 0},
        {"hooks": {}},
        {"disks": [{}]},
        {"disks": [{"volume": {"volume": "a"}, "linked": {"volume": "b"}}]},
        {"disks": [{"size_gib": 1, "pool": ".."}]},
        {"networks": [{}]},
        {"networks": [{"network": "n", "bridge": "b"}]},
        {"networks": [{"network": "n", "mac": "01:00:5e:00:00:01"}]},
        {"tags": {"a=b": ""}},
        {"boot": {"kernel": "/boot/vmlinuz"}},
    ],
)
def test_both_refuse_it(more: dict[str, Any]) -> None:
    assert not _VALID.is_valid({**_LEAST, **more})
    with pytest.raises(BadMessage):
        vm_spec.parse({**_LEAST, **more})
