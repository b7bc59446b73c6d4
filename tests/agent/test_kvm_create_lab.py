"""VMs made from specs on a real host, and deleted: nothing is left of them, whatever happens."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import libvirt
import pytest

import creating_child
from creating_world import World, interrupted, order_of, perform, world_of
from kvm_herd import herd_of
from lifecycle_contract import Heard
from novacron_agent.providers.kvm.lifecycle import KvmLifecycle
from novacron_agent.providers.kvm.marks import mark_of
from novacron_agent.providers.kvm.markup import parsed
from novacron_agent.providers.kvm.owned import volumes_of
from novacron_agent.providers.lifecycle import (
    EffectFailed,
    EffectUnknown,
    NotPossible,
    VmNotFound,
)
from novacron_contract.commands import Order, Verb
from novacron_contract.errors import Unavailable
from novacron_contract.metrics import VmState
from novacron_lab import libvirtd

pytestmark = pytest.mark.lab
_INIT = (
    "/bin/busybox --install -s /bin; export PATH=/bin; mount -t devtmpfs dev /dev;"
    " exec >/dev/console; for m in /lib/modules/*.ko; do insmod $m; done; sleep 1;"
    " echo found-$(grep -c the-seed-says-hello /dev/vdc)-$(cat /sys/class/block/vda/size);"
    " mount -t sysfs s /sys; echo size-$(cat /sys/class/block/vda/size); sleep 1000"
)
LEAST: dict[str, Any] = {"name": "made", "memory_mib": 96, "virtualization": "qemu"}
FULL: dict[str, Any] = {
    **LEAST,
    "disks": [
        {"size_gib": 0.0625, "pool": "default", "discard": "unmap"},
        {"linked": {"pool": "images", "volume": "base.qcow2"}, "size_gib": 0.03125},
    ],
    "vcpus": 2,
    "topology": {"cores": 2},
    "max_memory_mib": 128,
    "networks": [
        {"network": "lan", "mac": "52:54:00:AA:BB:01"},
        {"bridge": "br0", "model": "e1000e"},
    ],
    "cloud_init": {"user_data": "#cloud-config\n# the-seed-says-hello\n"},
    "boot": {
        "kernel": {"pool": "images", "volume": "vmlinuz"},
        "initrd": {"pool": "images", "volume": "initrd"},
        "cmdline": f'console=ttyS0 quiet panic=-1 rdinit=/bin/busybox -- sh -c "{_INIT}"',
    },
    "owner": "Zoë <&'\">",
    "tags": {"team": "web", "empty": ""},
    "paused": True,
}


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with (
        tempfile.TemporaryDirectory(prefix="nclab-p-", dir="/tmp") as folder,
        herd_of(0) as herd,
        world_of(herd.host, Path(folder)) as found,
    ):
        yield found


@pytest.fixture
def as_before(world: World) -> Iterator[None]:
    before = world.listing()
    yield
    after = world.listing()
    world.clear()  # so that one test fails, and not all that follow
    assert after == before


def vm() -> str:
    return str(uuid.uuid4())


def create(world: World, vm_id: str, **spec: Any) -> dict[str, Any]:
    done = perform(world.host.uri, order_of(Verb.CREATE, vm_id, spec={**LEAST, **spec}))
    assert done.changed
    return dict(done.detail)


def delete(world: World, vm_id: str, **how: Any) -> dict[str, Any]:
    done = perform(world.host.uri, order_of(Verb.DELETE, vm_id, **{"force": True, **how}))
    return dict(done.detail)


def remove_by_hand(world: World, vm_id: str) -> None:
    for volume in volumes_of(world.conn, vm_id):
        volume.delete(0)


def names(items: list[dict[str, str]]) -> list[tuple[str, str]]:
    return [(one["kind"], one["name"].rpartition("-")[2]) for one in items]


@pytest.mark.usefixtures("as_before")
def test_a_vm_boots_with_its_disks_and_seed_and_nothing_is_left_of_it(world: World) -> None:
    vm_id = vm()
    heard = Heard()
    lifecycle = KvmLifecycle(world.host.uri)
    order = order_of(Verb.CREATE, vm_id, spec=FULL)

    done = lifecycle.perform(order, heard, time.monotonic() + 60)

    assert done.detail["state"] == "paused"
    assert done.detail["virtualization"] == "qemu"
    assert [one["pool"] for one in done.detail["volumes"]] == ["default", "images", "default"]
    assert heard.told == [
        "disk 1 of 2", "disk 2 of 2", "seed", "kvm or qemu", "definition", "start",
    ]  # fmt: skip
    domain = world.conn.lookupByUUIDString(vm_id)
    mark = mark_of(parsed(domain.XMLDesc()))
    assert mark is not None
    assert (mark.command, mark.owner, dict(mark.tags)) == (order.id, FULL["owner"], FULL["tags"])
    assert _console(world, domain, b"size-") >= {b"found-1-", b"size-131072"}

    planned = delete(world, vm_id, plan=True)
    assert names(planned["plan"]) == [
        ("power", "made"),
        ("volume", "disk0.qcow2"),
        ("volume", "disk1.qcow2"),
        ("volume", "seed.img"),
        ("definition", "made"),
    ]
    assert planned["kept"] == []
    assert lifecycle.find(vm_id, 5).state in (VmState.RUNNING, VmState.BLOCKED)
    with pytest.raises(NotPossible, match="the VM runs: stop it first, or order it with force"):
        delete(world, vm_id, force=False)
    assert delete(world, vm_id) == planned
    with pytest.raises(VmNotFound):
        delete(world, vm_id)
    lifecycle.close()


def _console(world: World, domain: libvirt.virDomain, until: bytes) -> set[bytes]:
    """Let it go, and hear what it says."""
    stream = world.conn.newStream()
    domain.openConsole(None, stream, 0)
    said = bytearray()

    def hear() -> None:
        with contextlib.suppress(libvirt.libvirtError):  # it is over
            while piece := stream.recv(4096):
                said.extend(piece)

    listener = threading.Thread(target=hear, daemon=True)
    listener.start()
    domain.resume()
    deadline = time.monotonic() + 90
    while until not in said or not said.rpartition(until)[2].endswith(b"\n"):
        assert time.monotonic() < deadline, bytes(said)
        time.sleep(0.1)
    stream.abort()
    listener.join(5)
    return set(bytes(said).split())


@pytest.mark.usefixtures("as_before")
def test_killed_at_every_point_there_is_one_vm_and_nothing_is_left(world: World) -> None:
    before = world.listing()
    made = not_defined = 0
    for at in itertools.count(1):
        vm_id = vm()
        create_it = order_of(Verb.CREATE, vm_id, spec={**FULL, "autostart": True})
        made_it, heard = _lives(world, create_it.as_json(), at)
        if heard.evidence == "it is defined" and not world.conn.listAllDomains():
            with pytest.raises(EffectUnknown, match="has it moved to another host"):
                perform(world.host.uri, create_it, heard)
            assert len(volumes_of(world.conn, vm_id)) == 3, "it may run elsewhere"
            remove_by_hand(world, vm_id)
            not_defined += 1
            continue
        assert perform(world.host.uri, create_it, heard).detail["state"] == "paused"
        assert [one.name() for one in world.conn.listAllDomains()] == ["made"]
        assert world.conn.lookupByUUIDString(vm_id).autostart()
        volumes = [one for one in world.listing() if f"/novacron-{vm_id}-" in one]
        assert len(volumes) == 2 * 3, volumes

        delete_it = order_of(Verb.DELETE, vm_id, force=True)
        deleted_it, _ = _lives(world, delete_it.as_json(), at)
        if not deleted_it:
            with contextlib.suppress(VmNotFound):
                perform(world.host.uri, delete_it)
        assert world.listing() == before, f"killed at point {at}"
        made += 1
        if made_it and deleted_it:
            break
    assert made + not_defined == 15, "before and after each of seven calls, and once to the end"
    assert not_defined == 1


def _lives(world: World, order: dict[str, Any], at: int) -> tuple[bool, Heard]:
    """Whether it lived to its end, and what it witnessed."""
    child = subprocess.run(
        (sys.executable, creating_child.__file__, world.host.uri, str(at)),
        input=json.dumps(order),
        text=True,
        capture_output=True,
    )
    assert child.returncode in (0, -9), child.stderr
    return child.returncode == 0, Heard(witnessed=child.stdout.splitlines())


def _fail() -> None:
    raise libvirt.libvirtError("the disk is on fire")


@pytest.mark.usefixtures("as_before")
def test_whatever_step_fails_nothing_is_left(world: World) -> None:
    before = world.listing()
    seen: list[str] = []
    for at in itertools.count(1):
        vm_id = vm()
        order = order_of(Verb.CREATE, vm_id, spec={**FULL, "autostart": True})
        with interrupted(at, _fail) as passed:
            said = _failure(world, order)
        seen.append(passed[at - 1] if len(passed) >= at else "")
        if not said:
            break
        assert "on fire" in said
        assert "what had been made of it is removed" in said
        assert world.listing() == before, f"failed {seen[-1]}"
    assert {"before upload", "after defineXMLFlags", "before createWithFlags"} <= set(seen)
    assert seen[-1] == "after createWithFlags", "it runs"
    delete(world, vm_id)


def _failure(world: World, order: Order) -> str:
    try:
        perform(world.host.uri, order)
    except EffectFailed as err:
        return str(err)
    return ""


@pytest.mark.usefixtures("as_before")
def test_kvm_or_qemu_is_found_out_by_a_trial(world: World) -> None:
    """Here /dev/kvm may promise what it does not hold: whatever it is, the guest runs."""
    spec = {**FULL, "name": "tried", "virtualization": "auto", "disks": FULL["disks"][:1] * 2}
    vm_id = vm()

    done = perform(world.host.uri, order_of(Verb.CREATE, vm_id, spec=spec))

    assert done.detail["virtualization"] in ("kvm", "qemu")
    domain = world.conn.lookupByUUIDString(vm_id)
    assert b"found-1-" in _console(world, domain, b"found-1")
    delete(world, vm_id)


@pytest.mark.usefixtures("as_before")
def test_what_it_did_not_make_stays(world: World) -> None:
    pool = world.conn.storagePoolLookupByName("default")
    mine = "<volume><name>mine.qcow2</name><capacity unit='MiB'>1</capacity><target>"
    volume = pool.createXML(f"{mine}<format type='qcow2'/></target></volume>", 0)
    first, second = vm(), vm()
    used = {"volume": {"pool": "default", "volume": "mine.qcow2"}}

    create(world, first, disks=[used, {"size_gib": 0.001}], start=False)
    with pytest.raises(NotPossible, match=r"volume 'mine\.qcow2' is used by 'made'"):
        create(world, second, name="other", disks=[used])
    with pytest.raises(NotPossible, match="a VM named 'made' already"):
        create(world, second)
    owned = {"linked": {"volume": f"novacron-{first}-disk1.qcow2"}}
    with pytest.raises(NotPossible, match=r"is a disk of 'made': .* clone it"):
        create(world, second, name="other", disks=[owned])
    copied = {"clone": {"volume": f"novacron-{first}-disk1.qcow2"}, "size_gib": 0.01}
    create(world, second, name="other", disks=[copied], start=False)

    gone = delete(world, first)

    assert names(gone["plan"]) == [("volume", "disk1.qcow2"), ("definition", "made")]
    assert [one["why"] for one in gone["kept"]] == ["it was not created with the VM"]
    assert (world.pool("default") / "mine.qcow2").exists()
    delete(world, second)
    volume.delete(0)


@pytest.mark.usefixtures("as_before")
def test_what_others_are_built_on_stays_until_they_are_gone(world: World) -> None:
    first, second = vm(), vm()
    create(world, first, disks=[{"size_gib": 0.001}], start=False)
    base = f"novacron-{first}-disk0.qcow2"
    domain = world.conn.lookupByUUIDString(first)
    xml = domain.XMLDesc()
    domain.undefine()  # its volume remains
    create(world, second, name="other", disks=[{"linked": {"volume": base}}], start=False)
    world.conn.defineXML(xml)

    kept = delete(world, first)["kept"]

    assert [one["why"] for one in kept] == ["'other' uses it"] or "is built on it" in kept[0]["why"]
    delete(world, second)
    world.conn.defineXML(xml)
    assert names(delete(world, first)["plan"]) == [
        ("volume", "disk0.qcow2"),
        ("definition", "made"),
    ]


@pytest.mark.parametrize("format_", ["qcow2", "qed"])
@pytest.mark.usefixtures("as_before")
def test_what_is_built_on_it_is_seen_in_every_pool_and_format(world: World, format_: str) -> None:
    vm_id, name = vm(), "by-hand.qcow2"
    create(world, vm_id, disks=[{"size_gib": 0.001}], start=False)
    below, on_top = world.pool("default") / name, world.pool("images") / "on-top"
    alias = world.folder / "alias"
    alias.symlink_to(world.pool("default"))
    _qemu_img("create", "-f", "qcow2", below, "1M")

    _qemu_img("create", "-f", format_, "-b", alias / name, "-F", "qcow2", on_top)
    with pytest.raises(NotPossible, match="'on-top' is built on 'by-hand"):
        create(world, vm(), name="other", disks=[{"volume": {"volume": name}}])

    disk = alias / f"novacron-{vm_id}-disk0.qcow2"
    _qemu_img("create", "-f", format_, "-b", disk, "-F", "qcow2", on_top)
    kept = delete(world, vm_id)["kept"]

    assert [one["why"] for one in kept] == ["volume 'on-top' is built on it"]
    for path in (on_top, alias, below):
        path.unlink()
    remove_by_hand(world, vm_id)


@pytest.mark.usefixtures("as_before")
def test_volumes_may_be_kept_and_are_removed_by_hand(world: World) -> None:
    vm_id = vm()
    create(world, vm_id, disks=[{"size_gib": 0.001}], cloud_init={}, start=False)

    gone = delete(world, vm_id, keep_volumes=True)

    assert names(gone["plan"]) == [("volume", "seed.img"), ("definition", "made")]
    assert [one["why"] for one in gone["kept"]] == ["its volumes are to be kept"]
    with pytest.raises(NotPossible, match="remove them by hand"):
        delete(world, vm_id)
    remove_by_hand(world, vm_id)


@pytest.mark.usefixtures("as_before")
def test_snapshots_and_saved_memory_go_with_it(world: World) -> None:
    vm_id = vm()
    create(world, vm_id, disks=[{"size_gib": 0.01}])
    domain = world.conn.lookupByUUIDString(vm_id)
    domain.snapshotCreateXML("<domainsnapshot><name>inner</name></domainsnapshot>", 0)
    file = world.pool("default") / "on-top.qcow2"
    outer = (
        "<domainsnapshot><name>outer</name><disks><disk name='vda' snapshot='external'>"
        f"<source file='{file}'/></disk></disks></domainsnapshot>"
    )
    domain.snapshotCreateXML(outer, libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_DISK_ONLY)
    domain.managedSave(0)

    gone = delete(world, vm_id, force=False)

    kinds = [one["kind"] for one in gone["plan"]]
    assert kinds == ["volume", "volume", "snapshot", "snapshot", "managed save", "definition"]
    assert gone["plan"][0]["why"] == "a snapshot of what was created with the VM"


def test_a_vm_that_somebody_made_by_hand_loses_no_disk(world: World) -> None:
    vm_id = vm()
    disk = world.pool("default") / "by-hand.raw"
    disk.write_bytes(bytes(4096))
    world.conn.defineXML(
        f"<domain type='qemu'><name>by-hand</name><uuid>{vm_id}</uuid><memory>65536</memory>"
        "<os><type>hvm</type></os><devices><disk type='file'><driver name='qemu' type='raw'/>"
        f"<source file='{disk}'/><target dev='vda' bus='virtio'/></disk></devices></domain>"
    )

    gone = delete(world, vm_id)

    assert [one["name"] for one in gone["plan"]] == ["by-hand"]
    assert [one["name"] for one in gone["kept"]] == [str(disk)]
    assert disk.read_bytes() == bytes(4096)
    disk.unlink()


@pytest.mark.parametrize("keep", [True, False])
def test_what_its_firmware_wrote_goes_and_stays_with_its_disks(world: World, keep: bool) -> None:
    vm_id = vm()
    create(world, vm_id, start=False)
    nvram = world.folder / f"{vm_id}.fd"
    nvram.write_bytes(bytes(4096))
    code = f"<loader readonly='yes' type='pflash'>{world.folder}/code.fd</loader>"
    domain = world.conn.lookupByUUIDString(vm_id)
    xml = domain.XMLDesc().replace("</os>", f"{code}<nvram>{nvram}</nvram></os>")
    world.conn.defineXML(xml)

    gone = delete(world, vm_id, keep_volumes=keep)

    assert nvram.exists() is keep
    goes, stays = ([one["kind"] for one in gone[key]] for key in ("plan", "kept"))
    assert (goes, stays) == ((["definition"], ["nvram"]) if keep else (["nvram", "definition"], []))
    nvram.unlink(missing_ok=True)


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"disks": [{"size_gib": 1, "pool": "nowhere"}]}, r"no pool 'nowhere'; it has default, im"),
    ({"disks": [{"size_gib": 65536}]}, r"pool 'default' has .* GiB left, and the disks .* 65536.0"),
    ({"disks": [{"clone": {"volume": "none.qcow2"}}]}, "pool 'default' has no volume 'none.qcow2'"),
    ({"networks": [{"network": "none"}]}, "no network 'none'; it has lan"),
    ({"memory_mib": 64 * 1024 * 1024}, "MiB of memory left, and the VM is to have 67108864"),
    ({"boot": {"kernel": {"volume": "passwd"}}}, "pool 'default' has no volume 'passwd'"),
]


@pytest.mark.parametrize(("spec", "says"), REFUSED)
@pytest.mark.usefixtures("as_before")
def test_what_stands_against_it_is_told_before_anything_is_made(
    world: World, spec: dict[str, Any], says: str
) -> None:
    with pytest.raises(NotPossible, match=says):
        create(world, vm(), **spec)


@pytest.mark.usefixtures("as_before")
def test_what_libvirt_refuses_is_told_and_nothing_is_left(world: World) -> None:
    for spec, says in (
        ({"machine": "abacus"}, "PCI|abacus"),
        ({"cpu": "no-such-cpu"}, "no-such-cpu"),
        ({"networks": [{"bridge": "no-such-br"}]}, "no-such-br"),
        ({"virtualization": "qemu", "vcpus": 1024}, "CPUs"),
    ):
        with pytest.raises(EffectFailed, match=says) as refused:
            create(world, vm(), disks=[{"size_gib": 0.001}], **spec)
        assert "what had been made of it is removed" in str(refused.value)
        assert not list(world.pool("default").iterdir())


@pytest.mark.usefixtures("as_before")
def test_what_a_guest_writes_into_its_raw_disk_makes_no_image_of_it(world: World) -> None:
    """libvirt looks into files: with the head of an image it would take it for one."""
    secret = world.folder / "secret"
    secret.write_bytes(bytes(2**20))
    image = world.folder / "image.qcow2"
    _qemu_img("create", "-f", "qcow2", "-b", secret, "-F", "raw", image)
    first, second = vm(), vm()
    disk = {"size_gib": 0.002, "format": "raw"}
    create(world, first, disks=[disk], start=False)
    path = world.pool("default") / f"novacron-{first}-disk0.raw"
    xml = world.conn.lookupByUUIDString(first).XMLDesc()
    for head in (image.read_bytes(), b"KDMV".ljust(512, b"\0"), b"\x7f\x10\xda\xbe"):
        with path.open("r+b") as file:
            file.write(head)
        copied = {"clone": {"volume": path.name}}
        if head[:4] == b"QFI\xfb":
            with pytest.raises(EffectFailed, match="begins as an image of another format"):
                create(world, second, name="copy", disks=[copied], start=False)
        else:
            create(world, second, name="copy", disks=[copied], start=False)
            copy = world.pool("default") / f"novacron-{second}-disk0.raw"
            assert copy.read_bytes()[: len(head)] == head
            assert names(delete(world, second)["plan"])[0] == ("volume", "disk0.raw")
        world.conn.lookupByUUIDString(first).undefine()
        used = {"volume": {"volume": path.name}}

        create(world, second, name="user", disks=[used], start=False)

        tree = parsed(world.conn.lookupByUUIDString(second).XMLDesc())
        assert [one.get("type") for one in tree.iterfind("devices/disk/driver")] == ["raw"]
        delete(world, second)
        world.conn.defineXML(xml)
    assert names(delete(world, first)["plan"])[0] == ("volume", "disk0.raw")


def test_a_libvirtd_that_hangs_ends_a_create_in_time(world: World) -> None:
    before = world.listing()
    pid = libvirtd.pid(world.host)
    assert pid is not None
    order = order_of(Verb.CREATE, vm(), timeout_s=2, spec=FULL)
    lifecycle = KvmLifecycle(world.host.uri)
    os.kill(pid, signal.SIGSTOP)
    try:
        began = time.monotonic()
        with pytest.raises((EffectUnknown, Unavailable, EffectFailed)):
            lifecycle.perform(order, Heard(), time.monotonic() + 2)
        assert time.monotonic() - began < 100
    finally:
        os.kill(pid, signal.SIGCONT)
    time.sleep(1)
    assert world.listing() == before
    lifecycle.close()


@pytest.mark.usefixtures("as_before")
def test_bandwidths_are_taken(world: World) -> None:
    """They are not started here: not every kernel can limit them."""
    vm_id = vm()
    limits = {"inbound": {"average_kib": 1000, "burst_kib": 64}, "outbound": {"average_kib": 500}}
    create(world, vm_id, networks=[{"network": "lan", **limits}], start=False)

    tree = parsed(world.conn.lookupByUUIDString(vm_id).XMLDesc())
    told = {one.tag: dict(one.attrib) for one in tree.iterfind("devices/interface/bandwidth/*")}
    assert told == {"inbound": {"average": "1000", "burst": "64"}, "outbound": {"average": "500"}}
    delete(world, vm_id)


HARMLESS = [
    "a,b=c", "$(reboot)", "`id`", "%s%n", "<x>&amp;\"'", "日本語 мир", "a b", "c:d", "x\u0301",
    "]]>", "]]&gt;", "&lt;!--", "novacron", "x" * 128, "*", "?[a]", "a;b|c>d", "@{}", "~root",
]  # fmt: skip


@pytest.mark.parametrize("name", HARMLESS)
@pytest.mark.usefixtures("as_before")
def test_odd_names_are_names(world: World, name: str) -> None:
    vm_id = vm()
    bits = {"owner": name, "tags": {"odd": name}, "cloud_init": {"user_data": name}}

    detail = create(world, vm_id, name=name, disks=[{"size_gib": 0.001}], start=False, **bits)

    assert detail["name"] == world.conn.lookupByUUIDString(vm_id).name() == name
    mark = mark_of(parsed(world.conn.lookupByUUIDString(vm_id).XMLDesc()))
    assert mark is not None
    assert (mark.owner, mark.tags["odd"]) == (name, name)
    delete(world, vm_id)


@pytest.mark.parametrize("name", ["a,b=c", "日本語 мир", "%s%n", "$(reboot)"])
@pytest.mark.usefixtures("as_before")
def test_what_has_an_odd_name_runs(world: World, name: str) -> None:
    vm_id = vm()
    detail = create(world, vm_id, name=name, disks=[{"size_gib": 0.001}], tags={"a": "b"})
    assert detail["state"] == "running"
    delete(world, vm_id)


def _qemu_img(*args: str | Path) -> None:
    subprocess.run(("qemu-img", *map(str, args)), check=True, capture_output=True)


@pytest.mark.parametrize("how", ["clone", "linked", "volume"])
def test_an_image_that_shows_a_file_of_the_host_is_refused(world: World, how: str) -> None:
    secret = world.folder / "secret"
    secret.write_bytes(b"secret".ljust(1024 * 1024))
    pool = world.pool("default")
    evil, external = pool / "evil.qcow2", pool / "external.qcow2"
    json_evil, second = pool / "json.qcow2", pool / "second.qcow2"
    _qemu_img("create", "-f", "qcow2", "-b", secret, "-F", "raw", evil)
    _qemu_img("create", "-f", "qcow2", "-b", evil, "-F", "qcow2", second)
    _qemu_img("create", "-f", "qcow2", "-o", f"data_file={world.folder}/data", external, "1M")
    named = f'json:{{"driver":"raw","file":{{"driver":"file","filename":"{secret}"}}}}'
    _qemu_img("create", "-f", "qcow2", "-b", named, "-F", "raw", json_evil)
    before = world.listing()
    for path, says in (
        (evil, "is in no pool"), (second, "is in no pool"), (json_evil, "is in no pool"),
        (external, "keeps its data in another file"),
    ):  # fmt: skip
        with pytest.raises(NotPossible, match=says):
            create(world, vm(), disks=[{how: {"volume": path.name}}])
    assert world.listing() == before
    for path in (evil, second, external, json_evil):
        path.unlink()
    world.conn.storagePoolLookupByName("default").refresh(0)


@pytest.mark.usefixtures("as_before")
@pytest.mark.parametrize("how", ["clone", "linked", "volume"])
def test_an_image_that_leaves_open_as_what_it_is_read_is_refused(world: World, how: str) -> None:
    """A guest can write an image's head into its raw disk, as it can into what is built on it."""
    secret = world.folder / "secret"
    secret.write_bytes(b"secret".ljust(1024 * 1024))
    below, above = (world.pool("default") / one for one in (f"novacron-{vm()}-disk0.raw", "a.img"))
    _qemu_img("create", "-f", "qcow2", "-b", secret, "-F", "raw", below)
    _qemu_img("create", "-f", "qcow2", "-b", below, "-F", "qcow2", above)
    with pytest.raises(NotPossible, match=r"does not say that .* is to be read as raw"):
        create(world, vm(), disks=[{how: {"volume": above.name}}], start=False)

    _qemu_img("create", "-f", "qcow2", "-b", below, "-F", "raw", above)
    vm_id = vm()
    create(world, vm_id, disks=[{how: {"volume": above.name}}], start=False)
    delete(world, vm_id)
    above.write_bytes(above.read_bytes().replace(b"\xe2\x79\x2a\xca", b"\xe2\x79\x2a\xcb"))
    with pytest.raises(NotPossible, match=r"does not say that .* is to be read as raw"):
        create(world, vm(), disks=[{how: {"volume": above.name}}], start=False)
    below.unlink()
    above.unlink()


@pytest.mark.usefixtures("as_before")
def test_a_volume_is_taken_as_it_is_by_now_and_where_it_is(world: World) -> None:
    pool, secret = world.pool("default"), world.folder / "secret"
    secret.write_bytes(b"secret".ljust(1024 * 1024))
    changed, link = pool / "changed.img", pool / "link.img"
    changed.write_bytes(bytes(1024 * 1024))
    world.conn.storagePoolLookupByName("default").refresh(0)
    _qemu_img("create", "-f", "qcow2", "-b", secret, "-F", "raw", changed)
    link.symlink_to(secret)
    for path, says in ((changed, "is in no pool"), (link, "a link that leads out of its pool")):
        with pytest.raises(NotPossible, match=says):
            create(world, vm(), disks=[{"clone": {"volume": path.name}}], start=False)
        path.unlink()


def test_two_at_once_do_not_get_the_same_volume(world: World) -> None:
    before = world.listing()
    pool = world.conn.storagePoolLookupByName("default")
    shared = "<volume><name>one.raw</name><capacity unit='MiB'>1</capacity></volume>"
    volume = pool.createXML(shared, 0)
    orders = [
        order_of(
            Verb.CREATE, vm(),
            spec={**LEAST, "name": f"n{n}", "disks": [{"volume": {"volume": "one.raw"}}]},
        )
        for n in range(4)
    ]  # fmt: skip
    with ThreadPoolExecutor(4) as threads:
        ends = list(threads.map(lambda order: _refusal(world, order), orders))
    made = [order for order, end in zip(orders, ends, strict=True) if not end]
    assert len(made) <= 1
    assert len(world.conn.listAllDomains()) == len(made)
    for order in made:
        delete(world, order.vm_id)
    volume.delete(0)
    assert world.listing() == before


def _refusal(world: World, order: Order) -> str:
    try:
        perform(world.host.uri, order)
    except (EffectFailed, NotPossible) as err:
        return str(err)
    return ""
