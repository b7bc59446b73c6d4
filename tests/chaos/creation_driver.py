"""Who has VMs made and removed again, beside those who command what is there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from chaos.command_driver import Orders
from novacron_contract.commands import State, Verb

PATTERN = "made-*"  # of their names
_NEW: dict[str, Any] = {"size_gib": 1 / 64}
_LINKED: dict[str, Any] = {"linked": {"pool": "images", "volume": "base.qcow2"}}
_DISKS = ([_NEW], [_LINKED], [_NEW, _LINKED], [{**_NEW, "format": "raw"}])
_TTL = 0.08  # of operations that have little time to begin
_AT_ONCE = 3
_LOOKED_AT = 4  # operations
_DELETES = 0.4  # of what is ordered, once something is there
_NOT_THERE = (404, 409)  # it was deleted meanwhile, or is being made


@dataclass
class Creations:
    """`volumes`: how many each VM was ordered with, by its id."""

    orders: Orders
    hosts: Sequence[str]
    volumes: dict[str, int] = field(default_factory=dict)
    _ordered: int = 0
    _made: list[str] = field(default_factory=list)  # operations

    def order(self, most: int) -> int:
        """One operation of at most so many commands: how many it has."""
        if self.orders.chance.random() < _DELETES:
            names = self._there()
            if names:
                return self._delete(names, most)
        return self._create(most)

    def _create(self, most: int) -> int:
        chance = self.orders.chance
        count = chance.randint(1, max(1, min(_AT_ONCE, most)))
        disks = chance.choice(_DISKS)
        self._ordered += 1
        body: dict[str, Any] = {
            "spec": {
                "name": f"made-{self._ordered}-{{n}}",
                "memory_mib": 32,
                "virtualization": "qemu",
                "disks": disks,
                "cloud_init": {"user_data": "#cloud-config\n"},
                "paused": True,
            },
            "count": count,
            "host": chance.choice(self.hosts),
            "timeout": 90,
            "ttl": chance.choice((1, 2, 3)) if chance.random() < _TTL else 600,
        }
        made = self.orders.ordered(body, "/v1/vms")
        for one in self.orders.commands_of(made["id"]):
            self.volumes[one["vm"]["id"]] = len(disks) + 1
        self._made.append(made["id"])
        self.orders.cancel_some(made)
        return count

    def _there(self) -> dict[str, str]:
        """Names by ids: what some of the operations have made."""
        some = self.orders.chance.sample(self._made, min(len(self._made), _LOOKED_AT))
        every = [one for of in some for one in self.orders.commands_of(of)]
        return {
            one["vm"]["id"]: one["vm"]["name"]
            for one in every
            if State(one["state"]) is State.SUCCEEDED
        }

    def _delete(self, names: dict[str, str], most: int) -> int:
        """Also of those that are being deleted."""
        vms = self.orders.chance.sample(sorted(names), min(len(names), most, _AT_ONCE))
        body = {
            "steps": [{"verb": Verb.DELETE, "arguments": {"force": True}}],
            "targets": {"vms": vms},
            "confirm": names[vms[0]] if len(vms) == 1 else len(vms),
            "timeout": 90,
            "ttl": 600,
        }
        made = self.orders.ordered(body, refusals=_NOT_THERE)
        if made is None:
            return 0
        self.orders.cancel_some(made)
        return len(vms)
