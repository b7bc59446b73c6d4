"""The KVM provider on libvirt's own in-memory hypervisor."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import libvirt
import pytest

from novacron_agent.providers import PROVIDERS, Provider
from novacron_agent.providers.kvm import KvmProvider
from novacron_agent.providers.kvm.connection import is_local, run_folder
from novacron_agent.providers.kvm.description import described
from novacron_agent.readings import Reading
from novacron_contract.errors import ConfigError, Unavailable
from novacron_contract.metrics import HOST_ID, VM_ID, VM_NAME
from provider_contract import ELSEWHERE, ProviderContract, guests, values

DOMAIN = """
<domain type='test'><name>{name}</name><memory unit='MiB'>512</memory><vcpu>4</vcpu>
<os><type>hvm</type></os></domain>"""


@pytest.fixture
def test_host(tmp_path: Path) -> Iterator[tuple[KvmProvider, libvirt.virConnect]]:
    """A provider, and the connection through which a test changes what it sees.

    Connections to test:///default in one process share its guests.
    """
    conn = libvirt.open("test:///default")
    provider = KvmProvider(uri="test:///default")
    yield provider, conn
    provider.close()
    for domain in conn.listAllDomains():
        if domain.name() != "test":
            if domain.isActive():
                domain.destroy()
            domain.undefine()
    conn.close()


class TestKvmProviderOnTestDriver(ProviderContract):
    @pytest.fixture
    def provider(self) -> Iterator[Provider]:
        provider = KvmProvider(uri="test:///default")
        yield provider
        provider.close()

    @pytest.fixture
    def unreachable(self, tmp_path: Path) -> Provider:
        return KvmProvider(uri=f"qemu+unix:///system?socket={tmp_path}/none")


Host = tuple[KvmProvider, libvirt.virConnect]


def test_owner_and_tags_of_a_vm_that_was_created_are_its_labels(test_host: Host) -> None:
    provider, conn = test_host
    tags = "<n:owner>Zo&#xEB;</n:owner><n:tag name='team'>web</n:tag><n:tag name='vm.id'>x</n:tag>"
    mark = f"<n:vm xmlns:n='https://novacron.dev/xmlns/vm/1' command='c'>{tags}</n:vm>"
    xml = DOMAIN.format(name="tagged").replace("<name>", f"<metadata>{mark}</metadata><name>")
    domain = conn.defineXML(xml)

    [guest] = [g for g in guests(provider.scrape(None)) if g.resource[VM_NAME] == "tagged"]

    assert (guest.resource["vm.owner"], guest.resource["team"]) == ("Zoë", "web")
    assert guest.resource[VM_ID] == domain.UUIDString()


def test_a_guest_that_is_off_has_its_size_and_no_usage(test_host: Host) -> None:
    provider, conn = test_host
    conn.defineXML(DOMAIN.format(name="off"))

    [guest] = [g for g in guests(provider.scrape(None)) if g.resource[VM_NAME] == "off"]

    assert {s.metric.name for s in guest.samples} == {
        "vm.state",
        "vm.cpu.count",
        "vm.memory.limit",
    }
    assert values(guest, "vm.state") == {("stopped",): 1}
    assert values(guest, "vm.cpu.count") == {(): 4}
    assert values(guest, "vm.memory.limit") == {(): 512 * 1024**2}


def test_the_state_a_guest_left_is_told_once(test_host: Host) -> None:
    provider, conn = test_host
    domain = conn.defineXML(DOMAIN.format(name="changing"))
    domain.create()

    def states() -> dict[tuple[str | int | float, ...], float]:
        [guest] = [g for g in guests(provider.scrape(None)) if g.resource[VM_NAME] == "changing"]
        return values(guest, "vm.state")

    assert states() == {("running",): 1}
    domain.suspend()
    assert states() == {("running",): 0, ("paused",): 1}
    assert states() == {("paused",): 1}
    domain.destroy()
    assert states() == {("paused",): 0, ("stopped",): 1}


def test_a_change_is_told_at_once_and_is_the_state_alone(test_host: Host) -> None:
    provider, conn = test_host
    domain = conn.defineXML(DOMAIN.format(name="changing"))
    told = threading.Event()
    provider.watch(told.set)
    provider.scrape(None)
    told.clear()

    domain.create()

    assert told.wait(2)
    [changed] = wait_for(lambda: provider.changes(None).readings)
    assert changed.resource[VM_NAME] == "changing"
    assert [s.metric.name for s in changed.samples] == ["vm.state", "vm.state"]
    assert values(changed, "vm.state") == {("stopped",): 0, ("running",): 1}
    assert provider.changes(None).readings == []


def test_a_guest_that_is_gone_with_its_end_says_a_last_word(test_host: Host) -> None:
    provider, conn = test_host
    transient = conn.createXML(DOMAIN.format(name="passing"))
    told = threading.Event()
    provider.scrape(None)
    provider.changes(None)
    provider.watch(told.set)

    transient.destroy()

    assert told.wait(2)
    [last] = wait_for(lambda: provider.changes(None).readings)
    assert values(last, "vm.state") == {("running",): 0, ("stopped",): 1}


def test_a_guest_that_is_ended_and_deleted_in_one_go_says_a_last_word(test_host: Host) -> None:
    provider, conn = test_host
    domain = conn.defineXML(DOMAIN.format(name="deleted"))
    domain.create()
    provider.scrape(None)
    provider.changes(None)

    domain.destroy()
    domain.undefine()
    time.sleep(0.3)

    said = [g for g in guests(provider.scrape(None)) if g.resource[VM_NAME] == "deleted"]
    assert [values(g, "vm.state") for g in said] == [{("running",): 0, ("stopped",): 1}]


def test_a_connection_that_is_given_up_is_closed() -> None:
    connection = KvmProvider(uri="test:///default")._connection
    connection.use(lambda conn: conn.getHostname())
    conn = connection._conn
    assert conn is not None
    connection._closing(conn)
    assert conn.close() == 0, "nobody else holds it"


def wait_for(look: Callable[[], list[Reading]]) -> list[Reading]:
    deadline = time.monotonic() + 5
    while not (found := look()) and time.monotonic() < deadline:
        time.sleep(0.02)
    return found


def test_a_start_between_two_scrapes_begins_the_counters_anew(test_host: Host) -> None:
    provider, conn = test_host
    domain = conn.defineXML(DOMAIN.format(name="restarted"))

    def started() -> int:
        [guest] = [g for g in guests(provider.scrape(None)) if g.resource[VM_NAME] == "restarted"]
        return guest.start_ns

    assert started() == 0
    domain.create()
    first = started()
    assert first > 0
    assert started() == first
    domain.destroy()
    domain.create()
    assert started() > first


def test_a_deleted_guest_is_gone_and_the_host_counts_the_rest(test_host: Host) -> None:
    provider, conn = test_host
    domain = conn.defineXML(DOMAIN.format(name="short-lived"))
    host, *rest = provider.scrape(None).readings
    assert values(host, "libvirt.host.vm.count")["stopped",] == 1

    domain.undefine()

    host, *rest = provider.scrape(None).readings
    assert [g.resource[VM_NAME] for g in rest] == ["test"]
    assert values(host, "libvirt.host.vm.count")["stopped",] == 0
    assert values(host, "libvirt.host.vm.count")["running",] == 1


def test_the_host_has_the_cpus_that_libvirt_counts(test_host: Host) -> None:
    provider, conn = test_host

    host, *_guests = provider.scrape(None).readings

    assert list(values(host, "libvirt.host.cpu.count").values()) == [conn.getInfo()[2]]


def test_a_guest_with_a_hostile_name_is_measured(test_host: Host) -> None:
    provider, conn = test_host
    name = "&lt;b&gt;; DROP TABLE ../../etc\u202e"
    conn.defineXML(DOMAIN.format(name=name.replace("/", "|"))).create()

    names = [g.resource[VM_NAME] for g in guests(provider.scrape(None))]

    assert "<b>; DROP TABLE ..|..|etc\u202e" in names


def test_another_host_is_not_taken_for_the_agents_own(test_host: Host) -> None:
    provider, _conn = test_host

    host, guest = provider.scrape(ELSEWHERE).readings

    assert host.resource[HOST_ID] != ELSEWHERE.id
    assert VM_ID in guest.resource


def test_libvirt_does_not_write_to_the_terminal(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    provider = KvmProvider(uri=f"qemu+unix:///system?socket={tmp_path}/none")

    with pytest.raises(Unavailable, match=r"no answer from libvirt at .*is libvirtd running"):
        provider.scrape(None)

    assert capfd.readouterr().err == ""


def test_the_provider_is_found_by_its_name_and_takes_its_options() -> None:
    provider = PROVIDERS.create("kvm", {"uri": "test:///default"}, where="agent.toml: provider")
    assert provider == KvmProvider(uri="test:///default")

    with pytest.raises(
        ConfigError, match=r"^agent\.toml: provider: url: unknown; allowed: .*, uri$"
    ):
        PROVIDERS.create("kvm", {"url": "x"}, where="agent.toml: provider")


@pytest.mark.parametrize(
    ("uri", "local", "folder"),
    [
        ("qemu:///system", True, "/run/libvirt/qemu"),
        ("qemu+unix:///system?socket=/lab/run/libvirt-sock", True, "/lab/run/qemu"),
        ("qemu:///session", True, None),
        ("qemu+ssh://root@kvm-7/system", False, None),
        ("qemu+tcp://kvm-7/system", False, None),
        ("test:///default", False, None),
        ("lxc:///system", True, None),
    ],
)
def test_a_uri_tells_whether_the_hypervisor_is_this_machine(
    uri: str, local: bool, folder: str | None
) -> None:
    assert is_local(uri) is local
    assert run_folder(uri) == (None if folder is None else Path(folder))


def test_interfaces_without_a_name_on_the_host_are_left_out() -> None:
    xml = """<domain><devices>
      <interface type='network'><mac address='52:54:00:AA:00:01'/><target dev='vnet1'/></interface>
      <interface type='user'><mac address='52:54:00:aa:00:02'/></interface>
    </devices></domain>"""

    assert described(xml).macs == {"vnet1": "52:54:00:aa:00:01"}
