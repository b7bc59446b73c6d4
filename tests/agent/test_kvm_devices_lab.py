"""Disks and network cards of VMs on a real host: while guests run, and while they are off."""

from __future__ import annotations

import contextlib
import re
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import libvirt
import pytest

from creating_world import World, order_of, perform, world_of
from kvm_herd import herd_of
from novacron_agent.providers.kvm.marks import mark_of
from novacron_agent.providers.kvm.markup import parsed
from novacron_agent.providers.lifecycle import Done, EffectFailed, NotPossible
from novacron_contract.commands import Verb
from world_of_devices import attach, create, delete, detach, disks, grow, off, running, vm

pytestmark = pytest.mark.lab
_TELLS = (
    "/bin/busybox --install -s /bin; export PATH=/bin; mount -t devtmpfs dev /dev;"
    " exec >/dev/console; for m in /lib/modules/*.ko; do insmod $m; done; mount -t sysfs s /sys;"
    " while :; do echo =$(cd /sys/class/block; for d in vd*; do echo $d:$(cat $d/size),; done"
    "; cat /sys/class/net/*/address)=; sleep 1; done"
)
BOOTS: dict[str, Any] = {
    "boot": {
        "kernel": {"pool": "images", "volume": "vmlinuz"},
        "initrd": {"pool": "images", "volume": "initrd"},
        "cmdline": f'console=ttyS0 quiet panic=-1 rdinit=/bin/busybox -- sh -c "{_TELLS}"',
    }
}
MAC = "52:54:00:aa:bb:77"


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
    world.clear()
    assert after == before


class Heard:
    """What a guest says on its console."""

    def __init__(self, said: bytearray) -> None:
        self._said = said

    def until(self, *patterns: str, lacks: str = "=never=") -> str:
        """The first line, from now on, with all of these and without that."""
        at, deadline = len(self._said), time.monotonic() + 60
        while time.monotonic() < deadline:
            lines = bytes(self._said[at:]).decode("ascii", "replace").splitlines()
            for line in lines:
                whole = line.strip().startswith("=") and line.strip().endswith("=")
                if whole and all(re.search(one, line) for one in patterns) and lacks not in line:
                    return line
            time.sleep(0.1)
        raise AssertionError(f"{patterns}: {bytes(self._said[at:])!r}")


@contextmanager
def listening(world: World, vm_id: str) -> Iterator[Heard]:
    conn = libvirt.open(world.host.uri)
    stream, said = conn.newStream(), bytearray()
    conn.lookupByUUIDString(vm_id).openConsole(None, stream, 0)

    def hear() -> None:
        with contextlib.suppress(libvirt.libvirtError):  # it is over
            while piece := stream.recv(4096):
                said.extend(piece)

    listener = threading.Thread(target=hear, daemon=True)
    listener.start()
    yield Heard(said)
    with contextlib.suppress(libvirt.libvirtError):
        stream.abort()
    listener.join(5)


@pytest.mark.usefixtures("as_before")
def test_a_guest_that_runs_is_given_a_disk_that_grows_and_goes(world: World) -> None:
    vm_id = vm()
    labels = {"owner": "Zoë <&'\">", "tags": {"team": "]]>", "empty": ""}}
    create(world, vm_id, disks=[{"size_gib": 0.03125}], **BOOTS, **labels)
    before = world.listing()
    with listening(world, vm_id) as guest:
        guest.until("vda:65536,")

        made = attach(world, vm_id, size_gib=0.0625, format="raw")

        assert made.detail["disk"] == "vdb"
        guest.until("vda:65536,", "vdb:131072,")
        assert disks(world, vm_id) == [("vda", "vdb"), ("vda", "vdb")]
        assert made.detail["volume"] in owned(world, vm_id)

        assert grow(world, vm_id, "vdb", 0.125).changed
        guest.until("vdb:262144,")
        assert not grow(world, vm_id, "vdb", 0.125).changed
        assert grow(world, vm_id, "vda", 0.0625).changed
        guest.until("vda:131072,")
        with pytest.raises(NotPossible, match=r"disk vdb has 0\.12 GiB: disks are made larger on"):
            grow(world, vm_id, "vdb", 0.1)

        with pytest.raises(NotPossible, match="the VM runs from disk vda: stop it first, or order"):
            detach(world, vm_id, "vda")
        name = f"default/{made.detail['volume']}"
        gone = detach(world, vm_id, name, delete_volume=True)
        assert (gone.changed, gone.detail) == (True, {"deleted": name})
        guest.until("vda:", lacks="vdb")
    assert disks(world, vm_id) == [("vda",), ("vda",)]
    assert owned(world, vm_id) == [f"novacron-{vm_id}-disk0.qcow2"]
    assert world.listing().keys() == before.keys()
    gone = detach(world, vm_id, name, delete_volume=True)
    assert (gone.changed, gone.text) == (False, f"the VM has no disk '{name}'; it has vda")
    delete(world, vm_id)


def owned(world: World, vm_id: str) -> list[str]:
    domain = world.conn.lookupByUUIDString(vm_id)
    marks = [mark_of(parsed(domain.XMLDesc(flags))) for flags in (0, 2)]
    assert marks[0] == marks[1]
    assert marks[0] is not None
    assert (marks[0].owner, marks[0].tags) == ("Zoë <&'\">", {"team": "]]>", "empty": ""})
    return [one.volume for one in marks[0].owned]


@pytest.mark.usefixtures("as_before")
def test_a_guest_that_runs_is_given_a_card_and_lets_go_of_it(world: World) -> None:
    vm_id = vm()
    create(world, vm_id, **BOOTS)
    order = order_of(Verb.ATTACH_NIC, vm_id, nic={"network": "lan"})
    with listening(world, vm_id) as guest:
        guest.until("=", lacks="52:54:00")

        made = perform(world.host.uri, order)

        mac = made.detail["mac"]
        assert made.detail == {"mac": mac, "network": "lan"}
        assert mac == f"52:54:00:{order.id[-6:-4]}:{order.id[-4:-2]}:{order.id[-2:]}"
        assert made.changed
        guest.until(mac)
        assert not perform(world.host.uri, order).changed, "as an agent that was killed does"
        assert card(world, vm_id, bridge="br0", mac=MAC.upper(), model="e1000").changed
        assert not card(world, vm_id, bridge="br0", mac=MAC, model="e1000").changed
        with pytest.raises(NotPossible, match=f"another card with the MAC address {MAC}"):
            card(world, vm_id, network="lan", mac=MAC)

        assert uncard(world, vm_id, mac.upper()).changed
        guest.until("=", lacks=mac)
    gone = uncard(world, vm_id, mac)
    assert (gone.changed, gone.text) == (False, f"the VM has no card {mac}; it has {MAC}")
    delete(world, vm_id)


def card(world: World, vm_id: str, **nic: Any) -> Done:
    return perform(world.host.uri, order_of(Verb.ATTACH_NIC, vm_id, nic=nic))


def uncard(world: World, vm_id: str, mac: str, **more: Any) -> Done:
    return perform(world.host.uri, order_of(Verb.DETACH_NIC, vm_id, mac=mac, **more))


@pytest.mark.usefixtures("as_before")
def test_cards_of_a_vm_that_is_off(world: World) -> None:
    first, second = vm(), vm()
    create(world, first, start=False)
    create(world, second, name="other", start=False)
    assert card(world, first, network="lan", mac=MAC).changed
    for nic, says in (
        ({"network": "lan", "mac": MAC}, f"'made' has the MAC address {MAC}"),
        ({"network": "none"}, "no network 'none'; it has lan"),
    ):
        with pytest.raises(NotPossible, match=says):
            card(world, second, **nic)
    assert uncard(world, first, MAC).changed
    tree = parsed(world.conn.lookupByUUIDString(first).XMLDesc())
    assert tree.find("devices/interface") is None
    delete(world, first)
    delete(world, second)


def test_a_card_that_libvirt_refuses_leaves_nothing(world: World) -> None:
    vm_id = vm()
    create(world, vm_id)
    before = running(world, vm_id)
    with pytest.raises(EffectFailed, match="no-such-br"):
        card(world, vm_id, bridge="no-such-br")
    assert running(world, vm_id) == before
    delete(world, vm_id)


@pytest.mark.usefixtures("as_before")
def test_a_vm_that_is_off_is_given_disks_of_every_kind(world: World) -> None:
    vm_id = vm()
    mine = off(world, "mine.qcow2")
    create(world, vm_id, disks=[{"size_gib": 0.001}], start=False)
    base = {"pool": "images", "volume": "base.qcow2"}
    used: list[dict[str, Any]] = [
        {"size_gib": 0.001, "bus": "scsi", "cache": "none", "discard": "unmap"},
        {"size_gib": 0.001, "bus": "sata", "format": "raw"},
        {"clone": base},
        {"linked": base, "size_gib": 0.0625, "pool": "default"},
        {"volume": {"volume": "mine.qcow2"}},
        {"volume": {"pool": "images", "volume": "initrd"}, "device": "cdrom"},
    ]

    made = [attach(world, vm_id, **disk).detail for disk in used]

    assert [one["disk"] for one in made] == ["sda", "sdb", "vdb", "vdc", "vdd", "sdc"]
    assert [one["pool"] for one in made] == ["default", "default", "images", "images", "default",
                                             "images"]  # fmt: skip
    tree = parsed(world.conn.lookupByUUIDString(vm_id).XMLDesc())
    assert [one.get("model") for one in tree.iterfind("devices/controller[@type='scsi']")] == [
        "virtio-scsi"
    ]
    assert len(tree.findall("devices/disk")) == 7
    world.conn.lookupByUUIDString(vm_id).create()  # QEMU takes all of them
    assert grow(world, vm_id, "vdc", 0.125).changed, "one that is built on another"
    perform(world.host.uri, order_of(Verb.STOP, vm_id, force="now"))
    assert grow(world, vm_id, "sdb", 0.01).changed
    assert grow(world, vm_id, "vdc", 0.25).changed
    assert not grow(world, vm_id, "vdc", 0.25).changed
    with pytest.raises(NotPossible, match=r"disk sdc is only read"):
        grow(world, vm_id, "sdc", 1)

    with pytest.raises(NotPossible, match=r"'mine.qcow2' was not made with this VM; the volume of"):
        detach(world, vm_id, "vdd", delete_volume=True)
    assert detach(world, vm_id, "default/mine.qcow2").changed
    own = {"pool": "images", "volume": made[2]["volume"]}
    assert detach(world, vm_id, f"images/{own['volume']}").changed
    assert attach(world, vm_id, volume=own).detail == {"disk": "vdb", **own}, "it is the VM's"
    gone = delete(world, vm_id)
    goes = [one["name"].rpartition(".")[2] for one in gone["plan"] if one["kind"] == "volume"]
    assert sorted(goes) == ["qcow2", "qcow2", "qcow2", "qcow2", "raw"]
    assert mine.exists()
    mine.unlink()
    world.conn.storagePoolLookupByName("default").refresh(0)


@pytest.mark.usefixtures("as_before")
def test_several_that_run_are_built_on_the_same(world: World) -> None:
    first, second, base = vm(), vm(), {"pool": "images", "volume": "base.qcow2"}
    create(world, first, disks=[{"linked": base}])
    create(world, second, name="other", disks=[{"linked": base}])
    attach(world, first, linked=base)
    attach(world, second, linked=base)
    with pytest.raises(NotPossible, match=r"volume 'base.qcow2' is used by "):
        attach(world, first, volume=base)
    delete(world, first)
    delete(world, second)


@pytest.mark.usefixtures("as_before")
def test_a_guest_that_does_not_let_go_has_its_disk_still(world: World) -> None:
    vm_id = vm()
    create(world, vm_id, disks=[{"size_gib": 0.001}])  # firmware alone: it hears nothing
    made = attach(world, vm_id, size_gib=0.001).detail

    with pytest.raises(EffectFailed, match=r"did not let go of disk vdb in time, and still may"):
        detach(world, vm_id, "vdb", delete_volume=True, timeout_s=7)

    assert disks(world, vm_id) == [("vda", "vdb"), ("vda", "vdb")]
    assert (world.pool("default") / made["volume"]).exists()
    domain = world.conn.lookupByUUIDString(vm_id)
    domain.suspend()
    with pytest.raises(NotPossible, match="the VM is paused, and cannot let go of disk vdb: resum"):
        detach(world, vm_id, "vdb", delete_volume=True)
    domain.destroy()
    assert detach(world, vm_id, "vdb", delete_volume=True).changed
    assert not (world.pool("default") / made["volume"]).exists()
    delete(world, vm_id)


REFUSED_WHILE_IT_RUNS: list[tuple[dict[str, Any], str]] = [
    ({"size_gib": 0.001, "bus": "sata"}, "no disk at sata: stop it first, or choose virtio"),
    ({"size_gib": 0.001, "bus": "scsi"}, "runs, and has no SCSI controller: stop it first"),
    ({"volume": {"pool": "images", "volume": "initrd"}, "device": "cdrom"}, "no cdrom drive: stop"),
    ({"size_gib": 0.001, "pool": "none"}, "no pool 'none'; it has default, images"),
    ({"size_gib": 65536}, "GiB left, and the disks of this VM are 65536"),
    ({"linked": {"volume": "OWN"}}, "is a disk of 'made': .* clone it"),
    ({"clone": {"volume": "OWN"}}, "is written by 'made', which runs"),
    ({"volume": {"volume": "OWN"}}, "is used by 'made'"),
]


@pytest.mark.usefixtures("as_before")
def test_what_stands_against_a_disk_is_told_before_anything_is_made(world: World) -> None:
    vm_id = vm()
    create(world, vm_id, disks=[{"size_gib": 0.001}])
    own, before = f"novacron-{vm_id}-disk0.qcow2", world.listing().keys()
    for disk, says in REFUSED_WHILE_IT_RUNS:
        disk = {
            name: {**of, "volume": of["volume"].replace("OWN", own)} if isinstance(of, dict) else of
            for name, of in disk.items()
        }
        with pytest.raises(NotPossible, match=says):
            attach(world, vm_id, **disk)
    assert world.listing().keys() == before
    delete(world, vm_id)


@pytest.mark.usefixtures("as_before")
def test_what_would_lose_something_is_refused(world: World) -> None:
    vm_id = vm()
    create(world, vm_id, disks=[{"size_gib": 0.001}, {"size_gib": 0.001}])
    domain = world.conn.lookupByUUIDString(vm_id)
    domain.snapshotCreateXML("<domainsnapshot><name>within</name></domainsnapshot>")
    with pytest.raises(
        NotPossible, match=r"snapshots of the VM need it; the volume of disk vdb st"
    ):
        detach(world, vm_id, "vdb", delete_volume=True)
    with pytest.raises(NotPossible, match=r"snapshot 'within' is within disk vdb, and of its size"):
        grow(world, vm_id, "vdb", 1)
    domain.snapshotLookupByName("within").delete(0)
    with pytest.raises(NotPossible, match=r"pool 'default' has .* GiB left, and the disk is to ha"):
        grow(world, vm_id, "vdb", 65536)
    domain.managedSave(0)
    asked: tuple[Callable[[], Done], ...] = (
        lambda: attach(world, vm_id, size_gib=0.001),
        lambda: detach(world, vm_id, "vdb"),
        lambda: grow(world, vm_id, "vdb", 1),
        lambda: card(world, vm_id, network="lan"),
    )
    for ask in asked:
        with pytest.raises(NotPossible, match="memory is saved, and goes on with the devices"):
            ask()
    delete(world, vm_id)


@pytest.mark.usefixtures("as_before")
def test_a_vm_made_by_hand_stays_one_and_its_new_disk_goes_with_it(world: World) -> None:
    vm_id = vm()
    disk = world.folder / "by-hand.raw"
    disk.write_bytes(bytes(4096))
    world.conn.defineXML(
        f"<domain type='qemu'><name>by-hand</name><uuid>{vm_id}</uuid><memory>65536</memory>"
        "<os><type>hvm</type></os><devices><disk type='file'><driver name='qemu' type='raw'/>"
        f"<source file='{disk}'/><target dev='vda' bus='virtio'/></disk></devices></domain>"
    )

    attach(world, vm_id, size_gib=0.001)

    assert mark_of(parsed(world.conn.lookupByUUIDString(vm_id).XMLDesc())) is None
    with pytest.raises(NotPossible, match="disk vda is in no active storage pool of this host"):
        grow(world, vm_id, "vda", 1)
    with pytest.raises(NotPossible, match="it is in no storage pool; the volume of disk vda stays"):
        detach(world, vm_id, "vda", delete_volume=True)
    gone = delete(world, vm_id)
    assert [one["kind"] for one in gone["plan"]] == ["volume", "definition"]
    assert disk.read_bytes() == bytes(4096)
    disk.unlink()


@pytest.mark.usefixtures("as_before")
def test_a_raw_disk_in_which_a_guest_wrote_an_image_grows_as_raw_alone(world: World) -> None:
    vm_id = vm()
    create(world, vm_id, disks=[{"size_gib": 0.001, "format": "raw"}], start=False)
    path = world.pool("default") / f"novacron-{vm_id}-disk0.raw"
    image = (world.pool("images") / "base.qcow2").read_bytes()[:4096]
    with path.open("r+b") as file:
        file.write(image)
    with pytest.raises(NotPossible, match="begins as an image of another format"):
        grow(world, vm_id, "vda", 0.01)
    world.conn.lookupByUUIDString(vm_id).create()

    assert grow(world, vm_id, "vda", 0.01).changed

    assert path.stat().st_size == 10737664
    assert path.read_bytes()[:4096] == image
    delete(world, vm_id)


@pytest.mark.usefixtures("as_before")
def test_a_vm_of_pci_express_has_room_for_some(world: World) -> None:
    """Each device takes a port of its own, and ports do not come while it runs."""
    vm_id = vm()
    create(world, vm_id, machine="q35", disks=[{"size_gib": 0.001}], networks=[{"network": "lan"}])
    for _ in range(4):
        attach(world, vm_id, size_gib=0.001)
        card(world, vm_id, network="lan", model="e1000e")
    said = next(filter(None, (_failure(world, vm_id) for _ in range(30))))
    assert "the VM takes no more while it runs: stop it first (what had been made of it is" in said
    world.conn.lookupByUUIDString(vm_id).destroy()
    attach(world, vm_id, size_gib=0.001)
    world.conn.lookupByUUIDString(vm_id).create()
    delete(world, vm_id)


def _failure(world: World, vm_id: str) -> str:
    try:
        attach(world, vm_id, size_gib=0.001)
    except EffectFailed as err:
        return str(err)
    return ""


def test_transient_guests_have_their_devices_while_they_run(world: World) -> None:
    vm_id = vm()
    world.conn.createXML(
        f"<domain type='qemu'><name>passing</name><uuid>{vm_id}</uuid><memory>65536</memory>"
        "<os><type>hvm</type></os><features><acpi/></features></domain>"
    )
    assert attach(world, vm_id, size_gib=0.001).detail["disk"] == "vda"
    assert card(world, vm_id, network="lan").changed
    assert [one["kind"] for one in delete(world, vm_id)["plan"]][:2] == ["power", "volume"]
