"""Whether libvirt answers, how many guests it shows, and whether it tells of changes."""

from __future__ import annotations

import contextlib

import libvirt

from novacron_agent.finding import Finding, fail, ok, warn
from novacron_agent.providers.kvm.caller import Caller

_INSTALL = (
    "is it installed and running? apt-get install libvirt-daemon-system; "
    "systemctl enable --now libvirtd.socket"
)
_FIXES = (
    ("Permission denied", "let this user connect: adduser USER libvirt, and restart the agent"),
    ("No such file", _INSTALL),
    ("refused", "start it: systemctl restart libvirtd.socket libvirtd"),
)
_OTHERWISE = "see uri in [provider], and: journalctl -u libvirtd"


def check(uri: str, patience_s: float) -> list[Finding]:
    """Read-only, as it is measured; a libvirt that hangs is left behind."""
    what = f"libvirt {uri}"
    caller = Caller(uri, "check libvirt")
    call = caller.begin(_ask)
    caller.end()
    if not call.done.wait(patience_s):
        why = f"no answer within {patience_s:g} s"
        return [fail(what, why, "restart it: systemctl restart libvirtd")]
    if call.error is not None:
        reason = str(call.error.__cause__ or call.error)
        return [fail(what, " ".join(reason.split()), _fix(reason))]
    guests, tells = call.result or (0, False)
    seen = f"{guests} guest{'' if guests == 1 else 's'}"
    if not tells:
        fix = "nothing is to be done: they are seen at the next tick"
        return [warn(what, f"{seen}; it does not tell of changes", fix)]
    return [ok(what, f"{seen}; it tells of changes")]


def _ask(conn: libvirt.virConnect) -> tuple[int, bool]:
    guests = len(conn.listAllDomains())
    with contextlib.suppress(libvirt.libvirtError):
        lifecycle = libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE
        number = conn.domainEventRegisterAny(None, lifecycle, lambda *_: None, None)
        conn.domainEventDeregisterAny(number)
        return guests, True
    return guests, False


def _fix(reason: str) -> str:
    return next((fix for word, fix in _FIXES if word in reason), _OTHERWISE)
