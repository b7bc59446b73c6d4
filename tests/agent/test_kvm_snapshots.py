"""Snapshots on libvirt's own in-memory hypervisor, and what images say of themselves.

That hypervisor has no images: what is looked at in them, and how a job is waited for, is tested on
real ones (test_kvm_snapshots_lab.py).
"""

from __future__ import annotations

import struct
import time
import uuid
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

import libvirt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lifecycle_contract import Heard, done, order
from novacron_agent.providers.kvm import qcow2
from novacron_agent.providers.kvm.lifecycle import KvmLifecycle
from novacron_agent.providers.kvm.snapshots import others
from novacron_agent.providers.kvm.snapshots.checks import must_be_in_all
from novacron_agent.providers.kvm.snapshots.differences import differences
from novacron_agent.providers.kvm.snapshots.images import Written, written_by
from novacron_agent.providers.kvm.snapshots.known import (
    MAX_DETAIL,
    as_detail,
    mark,
    mark_of_left,
    read,
)
from novacron_agent.providers.lifecycle import EffectFailed, Lifecycle, NotPossible
from novacron_contract.commands import MAX_DETAIL as MAX_REPORTED
from novacron_contract.commands import Verb

DOMAIN = """
<domain type='test'><name>snapped</name><memory unit='MiB'>64</memory>
<os><type>hvm</type></os></domain>"""


@pytest.fixture
def conn() -> Iterator[libvirt.virConnect]:
    """Connections to test:///default in one process share its guests."""
    conn = libvirt.open("test:///default")
    yield conn
    conn.close()


@pytest.fixture
def domain(conn: libvirt.virConnect) -> Iterator[libvirt.virDomain]:
    xml = DOMAIN.replace("<memory", f"<uuid>{uuid.uuid4()}</uuid><memory")
    domain = conn.defineXML(xml)
    domain.create()
    yield domain
    if domain.isActive():
        domain.destroy()
    domain.undefineFlags(libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA)


@pytest.fixture
def vm(domain: libvirt.virDomain) -> str:
    return str(domain.UUIDString())


@pytest.fixture
def kvm() -> Iterator[Lifecycle]:
    lifecycle = KvmLifecycle("test:///default")
    yield lifecycle
    lifecycle.close()


def test_a_snapshot_is_made_gone_back_to_and_deleted(kvm: Lifecycle, vm: str) -> None:
    kept = done(kvm, Verb.SNAPSHOT, vm, snapshot="live", memory=True)
    assert (kept.changed, kept.detail["state"]) == (True, "running")
    done(kvm, Verb.STOP, vm, force="now")
    off = done(kvm, Verb.SNAPSHOT, vm)
    assert off.detail["parent"] == "live"
    assert off.detail["snapshot"].startswith("snapshot-")

    assert done(kvm, Verb.REVERT, vm, snapshot="live").detail["state"] == "running"
    assert done(kvm, Verb.REVERT, vm, snapshot=off.detail["snapshot"]).detail["state"] == "stopped"

    told = done(kvm, Verb.SNAPSHOTS, vm)
    names = [one["snapshot"] for one in told.detail["snapshots"]]
    assert (sorted(names), told.changed) == (["live", off.detail["snapshot"]], False)
    assert told.text.startswith("2 snapshots: ")
    gone = done(kvm, Verb.DELETE_SNAPSHOT, vm, snapshot="live", children=True)
    assert sorted(gone.detail["gone"]) == sorted(names)
    assert not done(kvm, Verb.DELETE_SNAPSHOT, vm, snapshot="live").changed
    assert done(kvm, Verb.SNAPSHOTS, vm).text == "no snapshots"


def test_a_name_is_taken_once(kvm: Lifecycle, vm: str) -> None:
    done(kvm, Verb.SNAPSHOT, vm, snapshot="one", memory=True)
    with pytest.raises(NotPossible, match="the VM has a snapshot 'one' already"):
        done(kvm, Verb.SNAPSHOT, vm, snapshot="one", memory=True)
    with pytest.raises(NotPossible, match="the VM has no snapshot 'two'"):
        done(kvm, Verb.REVERT, vm, snapshot="two")


def test_what_libvirt_knows_of_a_transient_guest_is_not_kept(
    kvm: Lifecycle, conn: libvirt.virConnect
) -> None:
    passing = conn.createXML(DOMAIN)
    try:
        with pytest.raises(NotPossible, match="the VM is transient"):
            done(kvm, Verb.SNAPSHOT, passing.UUIDString(), memory=True)
    finally:
        passing.destroy()


# -- whose disks they are -------------------------------------------------------------------------

VOLUME = "<volume><name>shared.qcow2</name><capacity>1048576</capacity></volume>"


@pytest.fixture
def volume(conn: libvirt.virConnect) -> Iterator[libvirt.virStorageVol]:
    volume = conn.storagePoolLookupByName("default-pool").createXML(VOLUME)
    yield volume
    volume.delete()


def with_disk(domain: libvirt.virDomain, source: str) -> str:
    """Its definition, with one more disk."""
    disk = f"<disk type='{'volume' if 'pool=' in source else 'file'}' device='disk'>"
    disk += f"<driver name='qemu' type='qcow2'/><source {source}/><target dev='vda'/></disk>"
    xml = domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)
    return str(xml.replace("</devices>", f"{disk}</devices>"))


@pytest.fixture
def other(conn: libvirt.virConnect) -> Iterator[libvirt.virDomain]:
    domain = conn.defineXML(DOMAIN.replace("snapped", "other"))
    yield domain
    domain.undefine()


@pytest.mark.parametrize("is_by_path", [True, False], ids=["by-path", "by-volume"])
def test_a_disk_that_is_another_vms_under_another_name_is_left_alone(
    kvm: Lifecycle, conn: libvirt.virConnect, domain: libvirt.virDomain, other: libvirt.virDomain,
    volume: libvirt.virStorageVol, tmp_path: Path, is_by_path: bool,
) -> None:  # fmt: skip
    """One names the volume, the other its file; or the way to it leads over a link."""
    (tmp_path / "images").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "images")
    mine, theirs = f"file='{volume.path()}'", f"pool='default-pool' volume='{volume.name()}'"
    if is_by_path:
        mine, theirs = f"file='{tmp_path}/link/a'", f"file='{tmp_path}/images/a'"
    domain.destroy()
    conn.defineXML(with_disk(domain, mine))
    done(kvm, Verb.SNAPSHOT, domain.UUIDString(), snapshot="then")
    conn.defineXML(with_disk(other, theirs))

    with pytest.raises(NotPossible, match="disk vda is used by 'other' now"):
        done(kvm, Verb.REVERT, domain.UUIDString(), snapshot="then", force=True)


def disk(path: str = "", pool: str = "", name: str = "") -> Written:
    return Written("vda", "qcow2", path, pool, name, "", False)


def test_disks_that_are_gone_are_not_gone_back_to(conn: libvirt.virConnect, tmp_path: Path) -> None:
    for gone, said in (
        (disk(pool="default-pool", name="gone"), "volume 'gone' of pool 'default-pool', which is"),
        (disk(pool="gone", name="gone"), "volume 'gone' of pool 'gone', which is not there"),
        (disk(f"{tmp_path}/gone"), "/gone', which is not there any more"),
        (disk(), "is no file, volume or block device"),
    ):
        with pytest.raises(NotPossible, match=said):
            must_be_in_all(conn, [gone], "then")
    elsewhere = tmp_path / "there"
    elsewhere.touch()
    must_be_in_all(conn, [disk(str(elsewhere))], "then")

    pool = conn.storagePoolCreateXML(
        f"<pool type='dir'><name>of-tmp</name><target><path>{tmp_path}</path></target></pool>"
    )
    try:
        with pytest.raises(NotPossible, match="which pool 'of-tmp' does not know"):
            must_be_in_all(conn, [disk(str(elsewhere))], "then")
    finally:
        pool.destroy()


@pytest.mark.parametrize(
    ("runs", "refused"),
    [(True, "a disk that the VM got since has"), (False, "disk vda is used by 'other' now")],
)
def test_a_snapshot_of_that_name_that_is_another_vms_stays(
    conn: libvirt.virConnect, domain: libvirt.virDomain, other: libvirt.virDomain,
    monkeypatch: pytest.MonkeyPatch, runs: bool, refused: str,
) -> None:  # fmt: skip
    """All images have it."""
    monkeypatch.setattr(others, "images_with", lambda _, disks, __: (list(disks), []))
    domain.destroy()
    bare = domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)
    with_one = with_disk(domain, "file='/there/a'")
    conn.defineXML(bare if runs else with_one)
    going = [domain.snapshotCreateXML("<domainsnapshot><name>nightly</name></domainsnapshot>")]
    others.must_lose_no_other(conn, domain, going)
    if runs:
        conn.defineXML(with_one)
        others.must_lose_no_other(conn, domain, going)  # off, it is not looked at
        domain.create()
        assert [one.path for one in written_by(ET.fromstring(domain.XMLDesc()))] == ["/there/a"]
    else:
        conn.defineXML(with_disk(other, "file='/there/a'"))

    with pytest.raises(NotPossible, match=refused):
        others.must_lose_no_other(conn, domain, going)


# -- what goes wrong in the middle ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "raised", "said"),
    [
        (libvirt.VIR_ERR_OPERATION_INVALID, EffectFailed, "the VM is running now: look at its"),
        (libvirt.VIR_ERR_OPERATION_DENIED, EffectFailed, "the VM is running now: look at its"),
        (libvirt.VIR_ERR_SNAPSHOT_REVERT_RISKY, NotPossible, "order it with force"),
    ],
)
def test_a_way_back_that_breaks_off_was_no_refusal(
    kvm: Lifecycle, vm: str, monkeypatch: pytest.MonkeyPatch,
    code: int, raised: type[Exception], said: str,
) -> None:  # fmt: skip
    """libvirt may have ended the VM's QEMU before it says so."""
    done(kvm, Verb.SNAPSHOT, vm, snapshot="then", memory=True)

    def fail(*_: object) -> None:
        err = libvirt.libvirtError("it broke")
        err.err = (code, 0, "it broke", 0, "", "", "", 0, 0)
        raise err

    monkeypatch.setattr(libvirt.virDomain, "revertToSnapshot", fail)
    with pytest.raises(raised, match=said) as failed:
        done(kvm, Verb.REVERT, vm, snapshot="then")
    assert isinstance(failed.value, NotPossible) is (raised is NotPossible)


def test_what_a_clean_up_told_libvirt_of_is_not_what_was_ordered(
    kvm: Lifecycle, domain: libvirt.virDomain, vm: str
) -> None:
    """It was cut off between telling libvirt of what is left and its removal."""
    ordered = order(Verb.SNAPSHOT, vm, snapshot="one", memory=True)
    xml = "<domainsnapshot><name>one</name><description>{}</description></domainsnapshot>"
    domain.snapshotCreateXML(xml.format(mark_of_left(ordered.id)))
    began = Heard(witnessed=["it is made"])

    kvm.perform(ordered, began, time.monotonic() + 60)

    (made,) = domain.listAllSnapshots()
    assert read(ET.fromstring(made.getXMLDesc())).description == mark(ordered.id)
    other = order(Verb.SNAPSHOT, vm, snapshot="one", memory=True)
    with pytest.raises(NotPossible, match="has a snapshot 'one' already"):
        kvm.perform(other, Heard(witnessed=["it is made"]), time.monotonic() + 60)


@pytest.mark.parametrize(
    ("xml", "is_external", "has_memory"),
    [
        ("<memory snapshot='internal'/>", False, True),
        ("<memory snapshot='no'/><disks><disk snapshot='internal'/></disks>", False, False),
        ("<disks><disk snapshot='external'/></disks>", True, False),
        ("<memory snapshot='external' file='/x'/>", True, True),
        ("<state>disk-snapshot</state>", True, False),
        ("<creationTime>²</creationTime>", False, False),
        ("<creationTime>99999999999999999999</creationTime>", False, False),
    ],
)
def test_what_libvirt_writes_of_a_snapshot_is_read(
    xml: str, is_external: bool, has_memory: bool
) -> None:
    found = read(ET.fromstring(f"<domainsnapshot><name>a</name>{xml}</domainsnapshot>"))
    assert (found.is_external, found.has_memory) == (is_external, has_memory)
    assert found.as_json()["snapshot"] == "a"


def test_a_long_list_fits_into_a_report() -> None:
    names = [f"{number}{'ü' * 200}" for number in range(500)]
    told = as_detail("gone", names)
    assert len(told["gone"]) + told["more"] == 500
    assert MAX_DETAIL < MAX_REPORTED


def test_differences_are_told_in_words() -> None:
    now = "<vcpu>2</vcpu><memory>1</memory><devices>{}</devices>"
    card = "<interface><mac address='52:54:00:00:00:0A'/><source network='{}'/></interface>"
    same = differences(*(ET.fromstring(f"<domain>{now.format(card)}</domain>") for _ in "ab"))
    assert same == []
    one, other = (
        ET.fromstring(f"<domain>{text}</domain>")
        for text in (now.format(card.format("a")), now.replace("2", "4").format(card.format("b")))
    )
    assert differences(one, other) == ["virtual CPUs", "network card 52:54:00:00:00:0a"]


# -- what an image says of its snapshots ----------------------------------------------------------

NAMES = st.lists(st.tuples(st.integers(1, 999), st.text(max_size=20)), max_size=5)


def entry(number: int, name: str, more: bytes) -> bytes:
    of_id, of_name = str(number).encode(), name.encode()
    fixed = struct.pack(
        ">QIHHIIQII", 65536, 1, len(of_id), len(of_name), 0, 0, 0, 0, len(more)
    )  # fmt: skip
    whole = fixed + more + of_id + of_name
    return whole.ljust(-(-len(whole) // 8) * 8, b"\0")


@given(NAMES, st.binary(max_size=30))
def test_snapshots_are_read_as_they_were_written(named: list[tuple[int, str]], more: bytes) -> None:
    table = b"".join(entry(number, name, more) for number, name in named)
    found = qcow2.snapshots(table, len(named))
    assert found == [qcow2.Snapshot(str(number), name) for number, name in named]
    assert qcow2.snapshots(table, len(named) + 1) is None


@given(st.binary(max_size=300), st.integers(0, 2**32 - 1))
def test_whatever_stands_there_nothing_breaks(table: bytes, number: int) -> None:
    found = qcow2.snapshots(table, number)
    assert found is None or len(found) == number
    qcow2.table_of_snapshots(table)
    qcow2.table_of_snapshots(b"QFI\xfb" + table)
