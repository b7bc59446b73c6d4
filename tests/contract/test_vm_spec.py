"""Specs of VMs: what is read, what is refused, and how it is told."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from novacron_contract import vm_spec
from novacron_contract.commands import MAX_OBJECT, VERBS, Verb, order
from novacron_contract.errors import BadMessage

LEAST = {"name": "web-1", "memory_mib": 512}
FULL = {
    **LEAST,
    "vcpus": 4,
    "topology": {"cores": 2, "threads": 2},
    "max_memory_mib": 1024,
    "disks": [
        {"size_gib": 20, "pool": "fast", "format": "raw", "cache": "none", "discard": "unmap"},
        {"clone": {"pool": "images", "volume": "debian 12.qcow2"}, "size_gib": 30, "bus": "scsi"},
        {"linked": {"volume": "base.qcow2"}},
        {"volume": {"volume": "install.iso"}, "device": "cdrom"},
    ],
    "networks": [
        {"network": "default", "mac": "52:54:00:12:34:56"},
        {"bridge": "br0", "model": "e1000e", "inbound": {"average_kib": 1000, "burst_kib": 10}},
    ],
    "firmware": "efi",
    "machine": "pc-q35-7.2",
    "cpu": "host-model",
    "virtualization": "qemu",
    "boot": {"kernel": {"volume": "vmlinuz"}, "cmdline": "console=ttyS0"},
    "guest_agent": False,
    "balloon_stats_s": 0,
    "cloud_init": {"user_data": "#cloud-config\n\tpäckages: []\n", "meta_data": {"region": "a"}},
    "autostart": True,
    "owner": "Zoë",
    "tags": {"team": "web", "empty": ""},
    "paused": True,
}


@pytest.mark.parametrize("raw", [LEAST, FULL])
def test_what_is_read_is_written_as_it_was(raw: dict[str, Any]) -> None:
    spec = vm_spec.parse(raw)

    assert vm_spec.parse(json.loads(json.dumps(spec.as_json()))) == spec
    assert vm_spec.parse(spec.as_json()).as_json() == spec.as_json()
    assert spec.name == "web-1"


def test_what_is_by_default_is_not_written() -> None:
    assert vm_spec.parse({**LEAST, "start": True, "disks": []}).as_json() == LEAST


def test_its_pools_are_all_it_needs() -> None:
    assert vm_spec.parse(FULL).pools == ("fast", "images", "default")
    assert vm_spec.parse(LEAST).pools == ("default",)


def deep(levels: int) -> Any:
    found: Any = {}
    for _ in range(levels):
        found = {"a": [found]}
    return found


def disk(**members: Any) -> dict[str, Any]:
    return {**LEAST, "disks": [members]}


def named(name: Any) -> dict[str, Any]:
    return {**LEAST, "name": name}


HOSTILE: list[tuple[Any, str]] = [
    (None, "expected an object with name, "),
    ([], "expected an object"),
    ("name: x", "expected an object"),
    ({}, "^name: missing"),
    ({"name": "x"}, "^memory_mib: missing"),
    (named(""), "^name: expected"),
    (named("../../etc/passwd"), "^name: "),
    (named("a/b"), "^name: "),
    (named("a\\b"), "^name: "),
    (named(".hidden"), "^name: "),
    (named("-rf"), "^name: "),
    (named(" x"), "^name: "),
    (named("x "), "^name: "),
    (named("x\n"), "^name: "),
    (named("x\0y"), "^name: "),
    (named("x\x1b[31m"), "^name: "),
    (named("safe\u202egpj"), "^name: "),
    (named("half \ud800"), "^name: "),
    (named("x\ufffe"), "^name: "),
    (named("x" * 129), "^name: "),
    (named("ä" * 65), "^name: "),
    (named(["x"]), "^name: "),
    (named(True), "^name: "),
    ({**LEAST, "memory_mib": 0}, "^memory_mib: expected a whole number from 1 to"),
    ({**LEAST, "memory_mib": -1}, "^memory_mib: "),
    ({**LEAST, "memory_mib": 1e3}, "^memory_mib: "),
    ({**LEAST, "memory_mib": 10**400}, "^memory_mib: "),
    ({**LEAST, "memory_mib": True}, "^memory_mib: "),
    ({**LEAST, "memory_mib": "512"}, "^memory_mib: "),
    ({**LEAST, "max_memory_mib": 511}, r"^max_memory_mib: expected memory_mib \(512\) or more"),
    ({**LEAST, "vcpus": 1025}, "^vcpus: "),
    ({**LEAST, "vcpus": 3, "topology": {"cores": 2}}, r"^topology: .* must be vcpus \(3\)"),
    ({**LEAST, "qemu:commandline": ["-monitor"]}, "^unknown: 'qemu:commandline'; allowed: name"),
    ({**LEAST, "hooks": {}}, "^unknown: 'hooks'"),
    ({**LEAST, "xml": "<domain/>"}, "^unknown: 'xml'"),
    ({**LEAST, 1: 2}, "^unknown: a name that is no text"),
    ({**LEAST, "x" * 10_000: 1}, "^unknown: 'x{80}';"),
    ({**LEAST, "deep": deep(50_000)}, "^unknown: 'deep'"),
    ({**LEAST, "disks": deep(50_000)}, "^disks: expected a list of at most 26"),
    ({**LEAST, "tags": {"a": deep(50_000)}}, r"^tags\.a: "),
    ({**LEAST, "disks": [{"size_gib": 1}] * 27}, "^disks: expected a list of at most 26"),
    (disk(), r"^disks\[0\]: expected size_gib \(a new disk\), or one of clone, linked, volume"),
    (disk(path="/etc/shadow"), r"^disks\[0\]: unknown: 'path'"),
    (disk(size_gib=0), r"^disks\[0\]\.size_gib: "),
    (disk(size_gib=float("nan")), r"^disks\[0\]\.size_gib: "),
    (disk(size_gib=float("inf")), r"^disks\[0\]\.size_gib: "),
    (disk(size_gib=1, pool="../x"), r"^disks\[0\]\.pool: "),
    (disk(size_gib=1, pool=".."), r"^disks\[0\]\.pool: "),
    (disk(size_gib=1, format="vmdk"), r"^disks\[0\]\.format: expected one of qcow2, raw"),
    (disk(size_gib=1, bus="ide\"/><x a='"), r"^disks\[0\]\.bus: expected one of virtio"),
    (disk(volume={"volume": "../../dev/sda"}), r"^disks\[0\]\.volume\.volume: "),
    (disk(volume={"volume": "/dev/sda"}), r"^disks\[0\]\.volume\.volume: "),
    (disk(volume={"volume": "a\nb"}), r"^disks\[0\]\.volume\.volume: "),
    (disk(volume={"volume": "a"}, clone={"volume": "b"}), r"^disks\[0\]: clone, linked and vol"),
    (disk(volume={"volume": "a"}, size_gib=1), r"^disks\[0\]\.size_gib: a volume that is there"),
    (disk(size_gib=1, device="cdrom"), r"^disks\[0\]\.device: a cdrom is a volume"),
    (disk(volume={"volume": "a"}, device="cdrom", bus="virtio"), r"^disks\[0\]\.bus: "),
    ({**LEAST, "disks": [{"volume": {"volume": "a"}}] * 2}, "^disks: two are the same volume"),
    ({**LEAST, "networks": [{}]}, r"^networks\[0\]: expected either network or bridge"),
    ({**LEAST, "networks": [{"bridge": "br0", "network": "x"}]}, r"^networks\[0\]: expected ei"),
    ({**LEAST, "networks": [{"bridge": "../br0"}]}, r"^networks\[0\]\.bridge: "),
    ({**LEAST, "networks": [{"bridge": "a" * 16}]}, r"^networks\[0\]\.bridge: "),
    ({**LEAST, "networks": [{"network": "x", "mac": "01:00:5e:00:00:01"}]}, r"\.mac: expected"),
    ({**LEAST, "networks": [{"network": "x", "mac": "52:54:00:12:34:56\n"}]}, r"\.mac: "),
    ({**LEAST, "networks": [{"network": "x", "script": "/bin/sh"}]}, "unknown: 'script'"),
    ({**LEAST, "networks": [{"network": "x", "inbound": {}}]}, r"inbound\.average_kib: missing"),
    (
        {**LEAST, "networks": [{"network": "x", "mac": m} for m in ("0a" * 6, "0A" * 6)]},
        r"networks\[0\]\.mac: ",
    ),
    ({**LEAST, "machine": "q35,accel=kvm"}, "^machine: "),
    ({**LEAST, "cpu": "host,-vmx"}, "^cpu: "),
    ({**LEAST, "firmware": "/usr/share/OVMF/x.fd"}, "^firmware: expected one of bios, efi"),
    ({**LEAST, "boot": {"kernel": "/boot/vmlinuz"}}, r"^boot\.kernel: expected an object"),
    ({**LEAST, "boot": {"kernel": {"volume": "../k"}}}, r"^boot\.kernel\.volume: "),
    ({**LEAST, "boot": {"kernel": {"volume": "k"}, "cmdline": "a\0b"}}, r"^boot\.cmdline: "),
    ({**LEAST, "boot": {"kernel": {"volume": "k"}, "cmdline": "x" * 2048}}, r"^boot\.cmdline: "),
    ({**LEAST, "cloud_init": {"user_data": "x\0"}}, r"^cloud_init\.user_data: expected text;"),
    ({**LEAST, "cloud_init": {"user_data": "\ud800"}}, r"^cloud_init\.user_data: "),
    ({**LEAST, "cloud_init": {"user_data": "x" * 65537}}, r"^cloud_init\.user_data: "),
    ({**LEAST, "cloud_init": {"meta_data": {"a\n": ""}}}, r"^cloud_init\.meta_data: a name in"),
    ({**LEAST, "owner": "a\nb"}, "^owner: "),
    ({**LEAST, "tags": {"a=b": "c"}}, "^tags: a name in it: "),
    ({**LEAST, "tags": {"a": 1}}, r"^tags\.a: "),
    ({**LEAST, "tags": {str(n): "" for n in range(65)}}, "^tags: expected an object of at most 64"),
    ({**LEAST, "start": "yes"}, "^start: expected true or false"),
    ({**LEAST, "start": False, "paused": True}, "^paused: only what is started"),
    (
        {**LEAST, "cloud_init": {"user_data": "\n" * 65536, "network_config": "\n" * 65536}},
        "^262.* bytes as JSON; allowed: 131072",
    ),
]


@pytest.mark.parametrize(("raw", "says"), HOSTILE, ids=range(len(HOSTILE)))
def test_what_is_wrong_is_named_with_what_is_allowed(raw: Any, says: str) -> None:
    with pytest.raises(BadMessage, match=says) as refused:
        vm_spec.parse(raw)
    assert len(str(refused.value)) < 500
    assert str(refused.value).isprintable()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
)
MEMBERS = st.sampled_from(sorted(FULL))


@given(st.dictionaries(MEMBERS, JSON), MEMBERS)
def test_whatever_is_said_is_read_or_refused(said: dict[str, Any], left: str) -> None:
    raw = {**FULL, **said}
    del raw[left]
    try:
        spec = vm_spec.parse(raw)
    except BadMessage:
        return
    assert vm_spec.parse(spec.as_json()) == spec


def ordered(spec: object) -> dict[str, Any]:
    return {
        "id": "00000000-0000-0000-0000-000000000001",
        "verb": "create",
        "vm_id": "00000000-0000-0000-0000-000000000002",
        "arguments": {"spec": spec},
        "expect": [],
        "ttl_ms": 1000,
        "timeout_s": 60,
    }


def test_an_order_carries_a_spec() -> None:
    found = order(ordered(FULL))
    assert order(json.loads(json.dumps(found.as_json()))) == found
    spec = found.arguments["spec"]
    assert isinstance(spec, dict)
    assert vm_spec.parse(spec) == vm_spec.parse(FULL)


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ({}, "arguments: spec: name: missing"),
        ("x", "arguments: spec: expected an object"),
        ({**LEAST, "disks": [{}]}, r"arguments: spec: disks\[0\]: expected size_gib"),
    ],
)
def test_an_order_of_what_is_no_spec_is_refused(spec: object, says: str) -> None:
    with pytest.raises(BadMessage, match=says):
        order(ordered(spec))


def test_to_create_without_a_spec_is_refused() -> None:
    with pytest.raises(BadMessage, match="arguments: spec: name: missing"):
        VERBS[Verb.CREATE].parse({})


def test_the_largest_spec_is_an_argument() -> None:
    most = {"user_data": "ä" * 32768, "network_config": "x" * 61_000}
    spec = VERBS[Verb.CREATE].parse({"spec": {**LEAST, "cloud_init": most}})["spec"]
    assert 120_000 < len(json.dumps(spec, ensure_ascii=False).encode()) < MAX_OBJECT


def test_to_see_what_would_be_deleted_destroys_nothing() -> None:
    delete = VERBS[Verb.DELETE]
    assert delete.is_destructive(delete.parse({}))
    assert not delete.is_destructive(delete.parse({"plan": True}))
