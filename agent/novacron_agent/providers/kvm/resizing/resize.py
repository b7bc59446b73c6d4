"""Give a guest another size: at once where it runs and that can be, and from its next start on.

What its host cannot give is refused before anything is done. What cannot be given while it runs is
put into its definition, and is said to wait for the next start.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import libvirt

from novacron_agent.providers.kvm import saved
from novacron_agent.providers.kvm.control import meaning
from novacron_agent.providers.kvm.domain import look
from novacron_agent.providers.kvm.resizing.dimensions import Cpus, Dimension, Memory
from novacron_agent.providers.kvm.turn import Turn
from novacron_agent.providers.lifecycle import Done, EffectFailed, NotPossible
from novacron_contract.errors import NovaCronError, Refused


@dataclass(slots=True)
class _Part:
    """`waits`: why it is not so yet."""

    of: Dimension
    wanted: int
    changed: bool = False
    waits: str = ""


def resize(turn: Turn) -> Done:
    look(turn.domain)
    sizes: tuple[Dimension, ...] = (Cpus(turn.domain), Memory(turn.domain))
    asked = [(of, int(str(turn.arguments[of.what]))) for of in sizes]
    parts = [_Part(of, wanted) for of, wanted in asked if wanted]
    runs = bool(turn.domain.isActive())
    _check(turn, parts, runs=runs)
    for number, part in enumerate(parts):
        try:
            if runs:
                _change(turn, part)
            if turn.domain.isPersistent():
                _define(turn, part)
        except (NotPossible, Refused, libvirt.libvirtError) as err:
            if not any(one.changed for one in parts[: number + 1]):
                raise
            raise EffectFailed(f"{part.of.what}: {_said(err)} (the rest is as ordered)") from err
    return _done(turn, parts, runs=runs)


def _check(turn: Turn, parts: list[_Part], *, runs: bool) -> None:
    if not runs and saved.is_kept(turn.domain):
        raise NotPossible(saved.NO_ROOM_FOR_CHANGES)
    at_once = turn.arguments["live"] is True or not turn.domain.isPersistent()
    for part in parts:
        why = part.of.against(part.wanted)
        if not why and runs and at_once:
            live = part.of.live()
            why = part.of.against_live(part.wanted, live) if live.now != part.wanted else ""
        if why:
            raise NotPossible(f"{part.of.what}: {why}")


def _change(turn: Turn, part: _Part) -> None:
    """While it runs."""
    live = part.of.live()
    if live.now == part.wanted:
        return
    part.waits = part.of.against_live(part.wanted, live)
    if part.waits:
        return
    turn.in_time()
    try:
        part.of.change(part.wanted)
    except libvirt.libvirtError as err:
        part.waits = _why_not(turn, err)
        return
    part.changed = True
    turn.progress.tell(f"{part.of.what}: the guest was told")
    part.waits = part.of.followed(part.wanted, turn.deadline)
    if part.waits and turn.arguments["live"] is True:
        raise EffectFailed(f"{part.of.what}: {part.waits}; its definition is as before")


def _why_not(turn: Turn, err: libvirt.libvirtError) -> str:
    """What a hypervisor says against it, where it can wait for the next start."""
    meant = meaning(err, alive=bool(turn.domain.connect().isAlive()))
    if not isinstance(meant, NotPossible | EffectFailed):
        raise err
    if turn.arguments["live"] is True or not turn.domain.isPersistent():
        raise meant from err
    return str(meant)


def _define(turn: Turn, part: _Part) -> None:
    before = part.of.defined()
    if before.now == part.wanted:
        return
    turn.in_time()
    part.of.define(part.wanted, before)
    part.changed = True
    now = part.of.defined().now
    if now != part.wanted:
        raise EffectFailed(
            f"{part.of.what}: libvirt has defined {now}, and was given {part.wanted}"
        )


def _done(turn: Turn, parts: list[_Part], *, runs: bool) -> Done:
    detail: dict[str, Any] = {}
    said = []
    for part in parts:
        told = {"now": part.of.live().now} if runs else {}
        if turn.domain.isPersistent():
            told["next_start"] = part.of.defined().now
        detail[part.of.what] = told
        if part.waits:
            said.append(f"{part.of.what}: {part.wanted} from its next start on: {part.waits}")
    return Done(changed=any(one.changed for one in parts), text="; ".join(said), detail=detail)


def _said(err: NovaCronError | libvirt.libvirtError) -> str:
    return str(meaning(err, alive=True) if isinstance(err, libvirt.libvirtError) else err)
