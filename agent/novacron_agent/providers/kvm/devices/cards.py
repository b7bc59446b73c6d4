"""Network cards of a VM that is there, known by their MAC addresses."""

from __future__ import annotations

import time
import xml.etree.ElementTree as ET
from dataclasses import dataclass, field, replace

import libvirt

from novacron_agent.providers.kvm.control import Control
from novacron_agent.providers.kvm.creating.checks import networks_are_there
from novacron_agent.providers.kvm.creating.domain import write_card
from novacron_agent.providers.kvm.devices.calls import Calls
from novacron_agent.providers.kvm.devices.guest import Guest, guest_of, plug
from novacron_agent.providers.kvm.devices.unplugging import Find, Unplugging
from novacron_agent.providers.kvm.domain import in_time
from novacron_agent.providers.kvm.markup import parsed
from novacron_agent.providers.kvm.volumes import shown
from novacron_agent.providers.lifecycle import Done, EffectFailed, NotPossible, Progress
from novacron_contract.commands import Order
from novacron_contract.errors import NovaCronError
from novacron_contract.vm_spec import Network, VmSpec
from novacron_contract.vm_spec.devices import parse_network

_UNDO_S = 30.0
_QEMU = "52:54:00"  # of cards that nobody gave an address


@dataclass(frozen=True, slots=True)
class AttachNic:
    control: Control
    order: Order
    progress: Progress
    deadline: float
    _given: list[int] = field(default_factory=list, init=False)  # to what, as libvirt's flags

    def carry_out(self) -> Done:
        calls = Calls(self.control, self.order.vm_id, self.deadline)
        network = self.network
        detail = {"mac": network.mac, **_where(network)}
        if calls.look(self._is_there):
            return Done(changed=False, detail=detail)
        in_time(self.deadline)
        calls.look(self._check)
        try:
            calls.change(self._plug)
        except EffectFailed as err:
            raise self._undone(err) from err
        return Done(changed=True, text=f"it is {network.mac}", detail=detail)

    @property
    def network(self) -> Network:
        """With an address: the same one whenever this command is looked at."""
        said = parse_network(self.order.arguments["nic"], "nic")
        if said.mac is not None:
            return replace(said, mac=said.mac.lower())
        last = self.order.id.replace("-", "")[-6:]
        return replace(said, mac=":".join((_QEMU, last[:2], last[2:4], last[4:])))

    def _is_there(self, conn: libvirt.virConnect) -> bool:
        """
        Raises:
            NotPossible: it has another card of that address.
        """
        network = self.network
        cards = [_card(tree, network.mac) for tree in guest_of(conn, self.order.vm_id).trees]
        for card in cards:
            if card is not None and not _is_as_said(card, network):
                raise NotPossible(f"the VM has another card with the MAC address {network.mac}")
        return all(card is not None for card in cards)

    def _check(self, conn: libvirt.virConnect) -> None:
        network = self.network
        guest_of(conn, self.order.vm_id).must_be_changeable()
        networks_are_there(conn, VmSpec(name="card", memory_mib=1, networks=(network,)))
        for domain in conn.listAllDomains():
            try:
                tree = parsed(domain.XMLDesc())
            except libvirt.libvirtError as err:
                if err.get_error_code() != libvirt.VIR_ERR_NO_DOMAIN:  # gone since
                    raise
                continue
            is_other = domain.UUIDString() != self.order.vm_id
            if is_other and _card(tree, network.mac) is not None:
                raise NotPossible(f"{shown(domain.name())} has the MAC address {network.mac}")

    def _plug(self, conn: libvirt.virConnect) -> None:
        network = self.network
        guest = guest_of(conn, self.order.vm_id)
        flags = 0
        for flag, tree in guest.by_flag():
            flags |= flag if _card(tree, network.mac) is None else 0
        in_time(self.deadline)
        self._given[:] = [flags]
        if flags:
            plug(guest, write_card(ET.Element("devices"), network), flags)
        try:
            is_there = self._is_there(conn)
        except NotPossible:
            is_there = False
        if not is_there:
            raise EffectFailed("libvirt took another card than it was given")

    def _undone(self, err: NovaCronError) -> NovaCronError:
        """Where libvirt refused it there is none; otherwise it goes again. One that was there
        before stays."""
        calls = Calls(self.control, self.order.vm_id, time.monotonic() + _UNDO_S)
        find, given = _by(self.network.mac), sum(self._given)
        try:
            Unplugging(calls, self.progress, find, "the new card", given).carry_out()
        except NovaCronError as left:
            return EffectFailed(f"{err}; and the card is still there: {left}")
        return err


@dataclass(frozen=True, slots=True)
class DetachNic:
    control: Control
    order: Order
    progress: Progress
    deadline: float

    def carry_out(self) -> Done:
        calls = Calls(self.control, self.order.vm_id, self.deadline)
        missing = calls.look(self._missing)
        if missing:
            return Done(changed=False, text=missing)
        in_time(self.deadline)
        find = _by(self._mac)
        return Done(changed=Unplugging(calls, self.progress, find, f"card {self._mac}").carry_out())

    @property
    def _mac(self) -> str:
        return str(self.order.arguments["mac"])

    def _missing(self, conn: libvirt.virConnect) -> str:
        """
        Raises:
            NotPossible: it is there, and cannot be taken out.
        """
        guest: Guest = guest_of(conn, self.order.vm_id)
        if all(_card(tree, self._mac) is None for tree in guest.trees):
            there = {_mac_of(card) for tree in guest.trees for card in _cards(tree)}
            has = ", ".join(sorted(there)) or "none"
            return f"the VM has no card {self._mac}; it has {has[:500]}"
        if any(len(_of_mac(tree, self._mac)) > 1 for tree in guest.trees):
            raise NotPossible(
                f"the VM has several cards {self._mac}, and only one of them is meant: take it out "
                "by hand, virsh detach-device-alias"
            )
        guest.must_be_changeable()
        if _card(guest.running, self._mac) is not None:
            guest.must_answer(f"card {self._mac}")
        return ""


def _by(mac: str | None) -> Find:
    def find(_conn: libvirt.virConnect, tree: ET.Element | None) -> ET.Element | None:
        return _card(tree, mac)

    return find


def _cards(tree: ET.Element) -> list[ET.Element]:
    return tree.findall("devices/interface")


def _mac_of(card: ET.Element) -> str:
    mac = card.find("mac")
    return "" if mac is None else mac.get("address", "").lower()


def _of_mac(tree: ET.Element, mac: str | None) -> list[ET.Element]:
    return [card for card in _cards(tree) if _mac_of(card) == mac]


def _card(tree: ET.Element | None, mac: str | None) -> ET.Element | None:
    return None if tree is None else next(iter(_of_mac(tree, mac)), None)


def _where(network: Network) -> dict[str, str | None]:
    if network.network is not None:
        return {"network": network.network}
    return {"bridge": network.bridge}


def _is_as_said(card: ET.Element, network: Network) -> bool:
    """What runs at a network that is a bridge of the host is told with both."""
    source, model = card.find("source"), card.find("model")
    if source is None or model is None or model.get("type") != network.model.value:
        return False
    if network.network is not None:
        return source.get("network") == network.network
    return source.get("network") is None and source.get("bridge") == network.bridge
