"""Another name for a guest: libvirt moves what it keeps under the old one."""

from __future__ import annotations

import libvirt

from novacron_agent.providers.kvm import saved
from novacron_agent.providers.kvm.domain import look
from novacron_agent.providers.kvm.markup import parsed
from novacron_agent.providers.kvm.turn import Turn
from novacron_agent.providers.kvm.uses import has_nvram
from novacron_agent.providers.kvm.volumes import shown
from novacron_agent.providers.lifecycle import Done, EffectFailed, NotPossible


def rename(turn: Turn) -> Done:
    domain, name = turn.domain, str(turn.arguments["new_name"])
    before = domain.name()
    if before == name:
        return Done(changed=False, detail={"name": name})
    seen = look(domain)
    if not seen.is_off:
        raise NotPossible(
            f"the VM is {seen.state}, and libvirt renames those that are off: stop it"
        )
    if saved.is_kept(domain):
        raise NotPossible(saved.NO_ROOM_FOR_CHANGES)
    if has_nvram(parsed(domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE))):
        raise NotPossible(
            "the VM's firmware keeps its settings (NVRAM) in a file that libvirt does not rename "
            "with it, and gives to the next VM that has the old name: it keeps its name"
        )
    if _is_in_use(domain.connect(), name):
        raise NotPossible(f"this host has a VM named {shown(name)} already")
    turn.in_time()
    domain.rename(name, 0)
    now = domain.connect().lookupByUUIDString(domain.UUIDString()).name()
    if now != name:
        raise EffectFailed(f"libvirt says that it was renamed, and it is named {shown(now)}")
    return Done(changed=True, text=f"was {shown(before)}", detail={"name": name, "before": before})


def _is_in_use(conn: libvirt.virConnect, name: str) -> bool:
    try:
        conn.lookupByName(name)
    except libvirt.libvirtError as err:
        if err.get_error_code() != libvirt.VIR_ERR_NO_DOMAIN:
            raise
        return False
    return True
