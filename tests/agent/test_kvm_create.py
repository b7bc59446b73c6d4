"""VMs made from specs: their XML, their seeds, and libvirt's own in-memory hypervisor."""

from __future__ import annotations

import contextlib
import json
import struct
import subprocess
import time
import uuid
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import libvirt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lifecycle_contract import Heard, done, order
from novacron_agent.providers.kvm.creating.domain import Made, definition
from novacron_agent.providers.kvm.creating.fat import image
from novacron_agent.providers.kvm.creating.seed import seed
from novacron_agent.providers.kvm.creating.storage import size_of
from novacron_agent.providers.kvm.creating.verify import verify
from novacron_agent.providers.kvm.deleting.plan import MAX_DETAIL, Item, Plan
from novacron_agent.providers.kvm.lifecycle import KvmLifecycle
from novacron_agent.providers.kvm.marks import Mark, Owned, mark_of
from novacron_agent.providers.kvm.markup import parsed, written
from novacron_agent.providers.kvm.owned import volumes_of
from novacron_agent.providers.kvm.uses import users
from novacron_agent.providers.kvm.volumes import Found
from novacron_agent.providers.lifecycle import EffectFailed, EffectUnknown, NotPossible, VmNotFound
from novacron_contract import vm_spec
from novacron_contract.commands import Order, Verb
from novacron_contract.errors import BadMessage, Unavailable
from novacron_contract.vm_spec import CloudInit, VmSpec

VM = "11111111-1111-4111-8111-111111111111"
LEAST: dict[str, Any] = {"name": "made", "memory_mib": 64}


def found(path: str, format_: str = "qcow2", kind: str = "file") -> Found:
    return Found("default", path.rpartition("/")[2], path, kind, format_, 1, 1, "")


def xml_of(raw: dict[str, Any], *paths: str, kind: str = "kvm", **more: Any) -> ET.Element:
    spec = vm_spec.parse({**LEAST, **raw})
    disks = tuple(zip(spec.disks, map(found, paths), strict=True))
    made = Made(
        vm_id=VM, spec=spec, mark=Mark(command="c"), kind=kind, arch="x86_64", disks=disks, **more
    )
    return definition(made)


def attributes(tree: ET.Element, path: str) -> list[dict[str, str]]:
    return [dict(one.attrib) for one in tree.iterfind(path)]


def test_disks_have_the_names_of_their_buses() -> None:
    disks = [
        {"size_gib": 1, "cache": "none", "discard": "unmap"},
        {"size_gib": 1, "bus": "scsi"},
        {"volume": {"volume": "x.iso"}, "device": "cdrom"},
        {"size_gib": 1},
    ]
    tree = xml_of({"disks": disks}, "/p/a", "/p/b", "/p/<c>", "/p/d", seed=found("/p/s", "raw"))

    targets = attributes(tree, "devices/disk/target")
    assert [one["dev"] for one in targets] == ["vda", "sda", "sdb", "vdb", "vdc"]
    assert [one["bus"] for one in targets] == ["virtio", "scsi", "sata", "virtio", "virtio"]
    drivers = attributes(tree, "devices/disk/driver")
    assert drivers[0] == {"name": "qemu", "type": "qcow2", "cache": "none", "discard": "unmap"}
    assert drivers[4] == {"name": "qemu", "type": "raw"}
    assert [one.find("readonly") is not None for one in tree.iterfind("devices/disk")] == [
        False, False, True, False, True,
    ]  # fmt: skip
    assert attributes(tree, "devices/controller") == [{"type": "scsi", "model": "virtio-scsi"}]
    assert "/p/&lt;c&gt;" in written(tree)


def test_twenty_seven_disks_have_a_name_each() -> None:
    tree = xml_of({"disks": [{"size_gib": 1}] * 26}, *map(str, range(26)), seed=found("/p/s"))
    assert attributes(tree, "devices/disk/target")[26]["dev"] == "vdaa"


def test_memory_cpus_and_cards_are_as_ordered() -> None:
    tree = xml_of(
        {
            "vcpus": 4,
            "topology": {"sockets": 2, "threads": 2},
            "max_memory_mib": 128,
            "firmware": "efi",
            "machine": "q35",
            "networks": [
                {"network": "a", "mac": "52:54:00:AA:00:01", "inbound": {"average_kib": 5}},
                {"bridge": "br0", "model": "e1000e"},
            ],
        }
    )
    assert (tree.findtext("memory"), tree.findtext("currentMemory")) == ("128", "64")
    assert attributes(tree, "cpu") == [{"mode": "host-model"}]
    assert attributes(tree, "cpu/topology") == [{"sockets": "2", "cores": "1", "threads": "2"}]
    assert attributes(tree, "os") == [{"firmware": "efi"}]
    assert attributes(tree, "os/type") == [{"arch": "x86_64", "machine": "q35"}]
    assert attributes(tree, "devices/interface/source") == [{"network": "a"}, {"bridge": "br0"}]
    assert attributes(tree, "devices/interface/mac") == [{"address": "52:54:00:aa:00:01"}]
    assert attributes(tree, "devices/interface/bandwidth/inbound") == [{"average": "5"}]
    assert attributes(tree, "devices/memballoon/stats") == [{"period": "10"}]


@pytest.mark.parametrize(
    ("raw", "kind", "expected"),
    [
        ({}, "qemu", []),
        ({"cpu": "host-passthrough"}, "kvm", [{"mode": "host-passthrough"}]),
        ({"cpu": "Haswell-noTSX"}, "kvm", [{"mode": "custom", "match": "exact"}]),
        ({"vcpus": 2, "topology": {"cores": 2}}, "qemu", [{}]),
    ],
)
def test_the_cpu_model_depends_on_what_runs_it(
    raw: dict[str, Any], kind: str, expected: list[dict[str, str]]
) -> None:
    assert attributes(xml_of(raw, kind=kind), "cpu") == expected


ODD = st.text(st.characters(codec="utf-8"), min_size=1, max_size=40)


def booted(spec: VmSpec, mark: Mark, kernel: str) -> ET.Element:
    made = Made(vm_id=VM, spec=spec, mark=mark, kind="kvm", arch="x86_64", disks=(), kernel=kernel)
    return definition(made)


PLAIN = booted(
    vm_spec.parse({**LEAST, "boot": {"kernel": {"volume": "k"}, "cmdline": "c"}}),
    Mark(command="c", owner="o", tags={"t": "t"}, owned=(Owned("p", "v"),)),
    "/p/k",
)


@given(name=ODD, owner=ODD, tag=ODD, cmdline=ODD, volume=ODD)
def test_whatever_is_a_name_is_nothing_but_a_name(
    name: str, owner: str, tag: str, cmdline: str, volume: str
) -> None:
    kernel = {"kernel": {"volume": volume}, "cmdline": cmdline}
    raw = {**LEAST, "name": name, "owner": owner, "tags": {"t": tag}, "boot": kernel}
    try:
        spec = vm_spec.parse(raw)
    except BadMessage:
        return
    mark = Mark(command="c", owner=owner, tags={"t": tag}, owned=(Owned("p", volume),))
    tree = booted(spec, mark, f"/p/{volume}")

    back = parsed(written(tree))

    assert [one.tag for one in back.iter()] == [one.tag for one in PLAIN.iter()]
    assert (back.findtext("name"), back.findtext("os/cmdline")) == (name, cmdline)
    assert mark_of(back) == mark
    verify(tree, back)


@pytest.mark.parametrize(
    ("path", "change", "says"),
    [
        ("name", {"text": "other"}, "another name"),
        ("memory", {"text": "65"}, "another memory"),
        ("devices/disk/source", {"file": "/etc/shadow"}, "another disks"),
        ("devices/disk/driver", {"type": "raw"}, "another disks"),
        ("devices/interface/source", {"network": "b"}, "another cards"),
        ("metadata/{https://novacron.dev/xmlns/vm/1}vm", {"command": "d"}, "another mark"),
    ],
)
def test_a_definition_that_came_back_otherwise_is_noticed(
    path: str, change: dict[str, str], says: str
) -> None:
    raw = {"disks": [{"size_gib": 1}], "networks": [{"network": "a"}]}
    given_, taken = xml_of(raw, "/p/a"), xml_of(raw, "/p/a")
    verify(given_, taken)
    element = taken.find(path)
    assert element is not None
    element.text = change.pop("text", element.text)
    element.attrib.update(change)
    with pytest.raises(EffectFailed, match=says):
        verify(given_, taken)


def test_arguments_for_qemu_that_came_from_nowhere_are_noticed() -> None:
    taken = xml_of({})
    ET.SubElement(taken, "{http://libvirt.org/schemas/domain/qemu/1.0}commandline")
    with pytest.raises(EffectFailed, match="arguments for QEMU"):
        verify(xml_of({}), taken)


@pytest.mark.parametrize(
    "xml",
    [
        "<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>",
        "<!DOCTYPE a SYSTEM 'file:///etc/passwd'><a/>",
        "<a>",
        "",
        "\0",
    ],
)
def test_hostile_xml_is_not_read(xml: str) -> None:
    with pytest.raises(EffectFailed, match="libvirt answered"):
        parsed(xml)


@pytest.mark.parametrize("xml", ["<a><!-- <!DOCTYPE b> --></a>", "<a><![CDATA[<!ENTITY]]></a>"])
def test_words_of_a_document_type_are_words(xml: str) -> None:
    assert parsed(xml).tag == "a"


def test_a_domain_that_cannot_be_looked_at_is_none_that_uses_nothing(
    conn: libvirt.virConnect, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_domain: libvirt.virDomain, _flags: int = 0) -> str:
        raise libvirt.libvirtError("no answer")

    def answer_nonsense(_domain: libvirt.virDomain, _flags: int = 0) -> str:
        return "<!DOCTYPE a><a/>"

    monkeypatch.setattr(libvirt.virDomain, "XMLDesc", fail)
    with pytest.raises(libvirt.libvirtError, match="no answer"):
        users(conn, VM)
    monkeypatch.setattr(libvirt.virDomain, "XMLDesc", answer_nonsense)
    with pytest.raises(EffectFailed, match="'test': libvirt answered XML with a document type"):
        users(conn, VM)


# -- seeds -----------------------------------------------------------------------------------------


def files_in(disk: bytes) -> tuple[str, dict[str, bytes]]:
    """The label and files of a FAT12 file system, read by its own words."""
    sector, per_cluster, reserved, fats, entries = struct.unpack_from("<HBHBH", disk, 11)
    (sectors,) = struct.unpack_from("<H", disk, 19)
    (of_table,) = struct.unpack_from("<H", disk, 22)
    assert (len(disk), disk[510:512]) == (sectors * sector, b"\x55\xaa")
    tables = [disk[(reserved + n * of_table) * sector :][: of_table * sector] for n in range(fats)]
    assert len(set(tables)) == 1
    root = (reserved + fats * of_table) * sector
    data = root + entries * 32
    label, name, found = "", "", {}
    for at in range(root, data, 32):
        entry = disk[at : at + 32]
        if entry[0] == 0:
            break
        if entry[11] == 0x0F:
            name = (entry[1:11] + entry[14:26] + entry[28:32]).decode("utf-16-le") + name
        elif entry[11] == 0x08:
            label = entry[:11].decode().rstrip()
        else:
            (cluster,), (size,) = (
                struct.unpack_from("<H", entry, 26),
                struct.unpack_from("<I", entry, 28),
            )
            content = b""
            while 2 <= cluster < 0xFF8:
                start = data + (cluster - 2) * per_cluster * sector
                content += disk[start : start + per_cluster * sector]
                pair = int.from_bytes(tables[0][cluster * 3 // 2 :][:2], "little")
                cluster = pair >> 4 if cluster % 2 else pair & 0xFFF
            found[name.partition("\0")[0].rstrip("\uffff")] = content[:size]
            name = ""
    return label, found


def test_a_seed_is_what_cloud_init_looks_for(tmp_path: Path) -> None:
    of = CloudInit(user_data="#cloud-config\nö\n", meta_data={"a": 'b"\n'}, network_config="{}")
    disk = seed(VM, 'we"b', of)

    label, files = files_in(disk)
    assert label == "CIDATA"
    assert sorted(files) == ["meta-data", "network-config", "user-data"]
    assert files["user-data"] == "#cloud-config\nö\n".encode()
    meta = {"instance-id": VM, "local-hostname": 'we"b', "a": 'b"\n'}
    assert json.loads(files["meta-data"]) == meta
    (tmp_path / "seed").write_bytes(disk)
    told = subprocess.run(
        ("blkid", "-p", "-o", "export", tmp_path / "seed"), capture_output=True, text=True
    ).stdout.splitlines()
    assert {"LABEL=CIDATA", "TYPE=vfat"} <= set(told)


@given(
    st.dictionaries(
        st.text("abcdefgh-.", min_size=1, max_size=30), st.binary(max_size=4000), max_size=12
    )
)
def test_what_is_put_into_it_is_in_it(files: dict[str, bytes]) -> None:
    assert files_in(image("X", files)) == ("X", files)


def test_the_largest_seed_fits() -> None:
    text = {"user-data": b"u" * 65536, "network-config": b"n" * 65536, "meta-data": b"m" * 40000}
    assert files_in(image("CIDATA", text)) == ("CIDATA", text)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="do not fit"):
        image("X", {"large": bytes(3 * 2**20)})


def test_sizes_are_whole_sectors() -> None:
    assert size_of(1) == 2**30
    assert size_of(0.001) == 1074176
    assert size_of(0.001) % 512 == 0


def test_a_plan_that_is_too_long_is_cut_and_says_by_how_much() -> None:
    plan = Plan(goes=[Item("volume", f"p/{n:0200}", "it was created") for n in range(200)])
    plan.stays = [Item("volume", "x" * 5000, "y" * 5000)]
    said = plan.as_json()
    assert len(json.dumps(said)) <= MAX_DETAIL + 100
    assert len(said["plan"]) + len(said["kept"]) + said["more"] == 201


# -- libvirt's in-memory hypervisor ----------------------------------------------------------------


@pytest.fixture
def conn() -> Iterator[libvirt.virConnect]:
    conn = libvirt.open("test:///default")
    yield conn
    conn.close()


@pytest.fixture
def kvm() -> Iterator[KvmLifecycle]:
    lifecycle = KvmLifecycle("test:///default")
    yield lifecycle
    lifecycle.close()


def listed(conn: libvirt.virConnect) -> tuple[list[str], list[str]]:
    pool = conn.storagePoolLookupByName("default-pool")
    return sorted(one.name() for one in conn.listAllDomains()), pool.listVolumes()


def test_made_and_deleted_there_is_what_there_was(
    kvm: KvmLifecycle, conn: libvirt.virConnect
) -> None:
    before = listed(conn)
    vm = str(uuid.uuid4())
    spec = {
        **LEAST,
        "disks": [{"size_gib": 1, "pool": "default-pool"}] * 2,
        "networks": [{"network": "default"}],
        "autostart": True,
    }
    made = done(kvm, Verb.CREATE, vm, spec=spec)

    assert (made.detail["virtualization"], made.detail["state"]) == ("test", "running")
    assert len(listed(conn)[1]) == 2
    assert conn.lookupByUUIDString(vm).autostart()
    done(kvm, Verb.DELETE, vm, force=True)
    assert listed(conn) == before


def test_in_the_middle_its_time_is_over_and_nothing_is_left(
    kvm: KvmLifecycle, conn: libvirt.virConnect
) -> None:
    before = listed(conn)
    create = order(
        Verb.CREATE,
        str(uuid.uuid4()),
        spec={**LEAST, "disks": [{"size_gib": 0.001, "pool": "default-pool"}] * 26},
    )
    said = [_failure(kvm, create, milliseconds / 1000) for milliseconds in (0, 1, 2, 4, 8)]
    if listed(conn) != before:  # a quick machine
        with contextlib.suppress(VmNotFound, NotPossible):
            done(kvm, Verb.DELETE, create.vm_id, force=True)
        remove_by_hand(conn, create.vm_id)
    assert "its time was over" in said[0]
    assert listed(conn) == before


def _failure(kvm: KvmLifecycle, create: Order, seconds: float) -> str:
    try:
        kvm.perform(create, Heard(), time.monotonic() + seconds)
    except EffectFailed as err:
        return str(err)
    return ""


def test_of_a_vm_that_may_run_on_another_host_nothing_is_deleted(
    kvm: KvmLifecycle, conn: libvirt.virConnect
) -> None:
    vm = str(uuid.uuid4())
    spec = {**LEAST, "disks": [{"size_gib": 1, "pool": "default-pool"}], "start": False}
    done(kvm, Verb.CREATE, vm, spec=spec)
    conn.lookupByUUIDString(vm).undefine()  # as a migration does
    before = listed(conn)
    name = f"default-pool/novacron-{vm}-disk0.qcow2"

    planned = done(kvm, Verb.DELETE, vm, plan=True)
    with pytest.raises(NotPossible, match=f"no such VM, only volumes of it: {name}.* vol-delete"):
        done(kvm, Verb.DELETE, vm)

    assert planned.detail["plan"] == []
    assert [(one["kind"], one["name"]) for one in planned.detail["kept"]] == [("volume", name)]
    assert "moved to another host" in planned.detail["kept"][0]["why"]
    assert listed(conn) == before
    remove_by_hand(conn, vm)
    with pytest.raises(VmNotFound):
        done(kvm, Verb.DELETE, vm)


def test_a_create_that_is_looked_at_again_takes_nothing_from_a_vm_that_has_moved(
    kvm: KvmLifecycle, conn: libvirt.virConnect
) -> None:
    vm = str(uuid.uuid4())
    spec = {**LEAST, "disks": [{"size_gib": 1, "pool": "default-pool"}]}
    create, heard = order(Verb.CREATE, vm, spec=spec), Heard()
    kvm.perform(create, heard, time.monotonic() + 60)
    domain = conn.lookupByUUIDString(vm)
    domain.destroy()
    domain.undefine()

    with pytest.raises(EffectUnknown, match="has it moved to another host"):
        kvm.perform(create, heard, time.monotonic() + 60)
    with pytest.raises(NotPossible, match="of a VM of this UUID, which may run on another host"):
        done(kvm, Verb.CREATE, vm, spec=spec)

    assert len(volumes_of(conn, vm)) == 1
    remove_by_hand(conn, vm)


def define_user(conn: libvirt.virConnect, vm: str, path: str) -> None:
    disk = f"<disk type='file'><source file='{path}'/><target dev='vda'/></disk>"
    conn.defineXML(
        f"<domain type='test'><name>other</name><uuid>{vm}</uuid><memory>1024</memory>"
        f"<os><type>hvm</type></os><devices>{disk}</devices></domain>"
    )


def test_what_another_uses_by_now_is_not_removed_when_a_create_fails(
    kvm: KvmLifecycle, conn: libvirt.virConnect
) -> None:
    vm, other = str(uuid.uuid4()), str(uuid.uuid4())
    spec = {**LEAST, "disks": [{"size_gib": 1, "pool": "default-pool"}]}

    def take_it() -> None:
        define_user(conn, other, volumes_of(conn, vm)[0].path())
        raise EffectFailed("it failed")

    with pytest.raises(EffectFailed, match=r"it failed; and what was made .* 'other' uses it"):
        kvm.perform(
            order(Verb.CREATE, vm, spec=spec), Interrupted("start", take_it), time.monotonic() + 60
        )

    assert len(volumes_of(conn, vm)) == 1
    conn.lookupByUUIDString(other).undefine()
    remove_by_hand(conn, vm)


@pytest.mark.parametrize("step", ["seed", "start"])
def test_a_libvirt_that_goes_away_in_the_middle_of_a_create_leaves_it_open(
    kvm: KvmLifecycle, conn: libvirt.virConnect, step: str
) -> None:
    before = listed(conn)
    vm = str(uuid.uuid4())
    spec = {**LEAST, "disks": [{"size_gib": 1, "pool": "default-pool"}]}

    def go_away() -> None:
        raise Unavailable("no answer from libvirt")

    create, heard = order(Verb.CREATE, vm, spec=spec), Interrupted(step, go_away)
    with pytest.raises(EffectUnknown, match="no answer from libvirt"):
        kvm.perform(create, heard, time.monotonic() + 60)
    heard.at = "nothing"

    assert kvm.perform(create, heard, time.monotonic() + 60).detail["state"] == "running"
    done(kvm, Verb.DELETE, vm, force=True)
    assert listed(conn) == before


def test_what_another_uses_by_now_is_not_started_late(
    kvm: KvmLifecycle, conn: libvirt.virConnect
) -> None:
    vm, other = str(uuid.uuid4()), str(uuid.uuid4())
    pool = conn.storagePoolLookupByName("default-pool")
    volume = pool.createXML("<volume><name>d.img</name><capacity>512</capacity></volume>")
    disk = {"volume": {"pool": "default-pool", "volume": "d.img"}}

    def take_it() -> None:
        define_user(conn, other, volume.path())
        raise EffectUnknown("nobody knows")

    create = order(Verb.CREATE, vm, spec={**LEAST, "disks": [disk]})
    heard = Interrupted("start", take_it)
    with pytest.raises(EffectUnknown):
        kvm.perform(create, heard, time.monotonic() + 60)
    with pytest.raises(EffectFailed, match=r"is made, and not started: .* is used by 'other'"):
        kvm.perform(create, heard, time.monotonic() + 60)

    for one in (vm, other):
        conn.lookupByUUIDString(one).undefine()
    volume.delete(0)


def test_what_is_linked_and_changes_meanwhile_is_not_built_on(
    kvm: KvmLifecycle, conn: libvirt.virConnect
) -> None:
    vm, other = str(uuid.uuid4()), str(uuid.uuid4())
    pool = conn.storagePoolLookupByName("default-pool")
    base = pool.createXML("<volume><name>b.img</name><capacity>512</capacity></volume>")
    disk = {"linked": {"pool": "default-pool", "volume": "b.img"}, "size_gib": 0.001}
    heard = Interrupted("definition", lambda: define_user(conn, other, base.path()))

    with pytest.raises(EffectFailed, match=r"'b\.img' is a disk of 'other'"):
        kvm.perform(
            order(Verb.CREATE, vm, spec={**LEAST, "disks": [disk]}), heard, time.monotonic() + 60
        )

    assert volumes_of(conn, vm) == []
    conn.lookupByUUIDString(other).undefine()
    base.delete(0)


class Interrupted(Heard):
    """`does` something when it is told of the step `at`."""

    def __init__(self, at: str, does: Callable[[], object]) -> None:
        super().__init__()
        self.at, self.does = at, does

    def tell(self, text: str, share: float | None = None) -> None:
        super().tell(text, share)
        if text.startswith(self.at):
            self.does()


def test_a_delete_that_took_something_does_not_say_that_nothing_was_done(
    kvm: KvmLifecycle, conn: libvirt.virConnect
) -> None:
    vm = str(uuid.uuid4())
    spec = {**LEAST, "disks": [{"size_gib": 1, "pool": "default-pool"}] * 2}
    done(kvm, Verb.CREATE, vm, spec=spec)
    leaves = Interrupted("volume", lambda: conn.lookupByUUIDString(vm).undefine())

    with pytest.raises(EffectFailed, match=r"volume .*disk0.*: this host has no such VM .* gone"):
        kvm.perform(order(Verb.DELETE, vm, force=True), leaves, time.monotonic() + 60)

    assert len(volumes_of(conn, vm)) == 2, "it may run on another host"
    remove_by_hand(conn, vm)


def remove_by_hand(conn: libvirt.virConnect, vm: str) -> None:
    for volume in volumes_of(conn, vm):
        volume.delete(0)


def test_a_name_that_is_there_is_refused(kvm: KvmLifecycle) -> None:
    with pytest.raises(NotPossible, match="a VM named 'test' already"):
        done(kvm, Verb.CREATE, str(uuid.uuid4()), spec={**LEAST, "name": "test"})
