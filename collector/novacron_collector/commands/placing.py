"""Which hosts new VMs come to: one that is named, or for each the one with the most memory left."""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from novacron_contract.commands import Verb
from novacron_contract.errors import Conflict
from novacron_contract.units import readable
from novacron_store.state import Agents, Freshness, Host, Inventory, Vm, freshness
from novacron_store.state.agents import intervals
from novacron_store.state.commands import Coming, Journals

OnHost = TypeVar("OnHost", Vm, Coming)
_MIB = 1024**2
_SILENT = "its agent has not been heard of for some time"
_NAMED = 5  # hosts in one message


@dataclass(frozen=True, slots=True)
class Memory:
    """Of a machine, as it was measured last, in bytes. `limit` of a host is all it has."""

    usage: float | None
    limit: float | None


MemoryOf = Callable[[], Mapping[str, Memory]]  # hosts and VMs by id; empty: nobody knows


@dataclass(slots=True)
class Site:
    """A host. `free` is what neither its VMs may have nor anything else uses, in bytes; None: not
    known. `names` are in use on it. `problem`: why nothing can be created there; `is_silent`: its
    agent has not been heard of for some time, and may come back."""

    host: Host
    identity_id: str
    free: float | None
    vms: int
    names: set[str]
    problem: str
    is_silent: bool

    @property
    def is_usable(self) -> bool:
        return not self.problem and not self.is_silent

    def takes(self, name: str, memory: float) -> None:
        self.names.add(name)
        self.vms += 1
        if self.free is not None:
            self.free -= memory


@dataclass(frozen=True)
class Hosts:
    """What is known of hosts, for placing VMs."""

    inventory: Inventory
    agents: Agents
    journals: Journals
    agents_of_hosts: Callable[[], Mapping[str, str]]
    memory: MemoryOf
    coming: Callable[[], Sequence[Coming]]  # before VMs are looked at: what came is among these

    def sites(self, now: datetime) -> list[Site]:
        """Every host, by name."""
        coming = _by_host(self.coming())
        rates = intervals(self.agents.all())
        vms = _by_host(self._vms(rates, now))
        serving, memory = self.agents_of_hosts(), self.memory()
        able = self.journals.verbs(set(serving.values()))
        made = []
        for host in self.inventory.hosts():
            identity = serving.get(host.id, "")
            age = freshness(host.last_seen, now, rates.get(host.id))
            verbs = able.get(identity, frozenset())
            mine = vms.get(host.id, [])
            site = Site(
                host,
                identity,
                _free(memory, host, mine),
                len(mine),
                {vm.name for vm in mine},
                _problem(identity, verbs),
                age is not Freshness.FRESH,
            )
            for one in coming.get(host.id, []):
                site.takes(one.name, one.memory_mib * _MIB)
            made.append(site)
        return made

    def _vms(self, rates: Mapping[str, float], now: datetime) -> Iterator[Vm]:
        """Those that are there."""
        for vm in self.inventory.vms():
            age = freshness(vm.last_seen, now, rates.get(vm.host_id))
            if age is not Freshness.GONE:
                yield vm


def chosen(sites: Sequence[Site], names: Sequence[str], memory_mib: int) -> Iterator[Site]:
    """For each name the host that has the most memory left then; where that is known of none, the
    one with the fewest VMs.

    Raises:
        Conflict: a name is in use on one of them, or none has so much memory left.
    """
    usable = [one for one in sites if one.is_usable]
    _require_unused(sites, names)
    memory = float(memory_mib * _MIB)
    line = [(_worth(one), number, one) for number, one in enumerate(usable)]
    heapq.heapify(line)
    for name in names:
        _, number, best = line[0]
        if best.free is not None and best.free < memory:
            raise Conflict(
                f"no host has {readable(memory, 'By')} of memory left for {name}; the most has "
                f"{best.host.name}: {readable(max(best.free, 0.0), 'By')}. Name a host to use it "
                "all the same"
            )
        best.takes(name, memory)
        heapq.heapreplace(line, (_worth(best), number, best))
        yield best


def why_none(sites: Sequence[Site]) -> str:
    """Of hosts of which none can be used."""
    if not sites:
        return "there is no host yet"
    reasons = [f"{one.host.name}: {one.problem or _SILENT}" for one in sites]
    more = f" (and {len(reasons) - _NAMED} more)" if len(reasons) > _NAMED else ""
    return f"no host can create VMs now: {'; '.join(reasons[:_NAMED])}{more}"


def _require_unused(sites: Sequence[Site], names: Sequence[str]) -> None:
    """Where nobody says which host, the second VM of a name is likely a slip.

    Raises:
        Conflict: one of them is in use.
    """
    wanted = set(names)
    used = [(name, one.host.name) for one in sites for name in sorted(wanted & one.names)]
    if used:
        shown = "; ".join(f"{name} is on {host}" for name, host in used[:_NAMED])
        more = f" (and {len(used) - _NAMED} more)" if len(used) > _NAMED else ""
        raise Conflict(f"there is a VM of that name: {shown}{more}")


def _by_host(every: Iterable[OnHost]) -> Mapping[str, list[OnHost]]:
    found: defaultdict[str, list[OnHost]] = defaultdict(list)
    for one in every:
        found[one.host_id].append(one)
    return found


def _worth(of: Site) -> tuple[bool, float, int]:
    """The least is the best."""
    return of.free is None, -(of.free or 0.0), of.vms


def _free(memory: Mapping[str, Memory], host: Host, vms: Iterable[Vm]) -> float | None:
    known = memory.get(host.id)
    if known is None or known.limit is None:
        return None
    promised = sum(of.limit or 0.0 for vm in vms if (of := memory.get(vm.id)) is not None)
    return known.limit - max(promised, known.usage or 0.0)


def _problem(identity: str, verbs: Iterable[str]) -> str:
    if not identity:
        return "no agent of it takes commands: let it join (novacron agent invite)"
    if Verb.CREATE not in verbs:
        return "its agent cannot create VMs"
    return ""
