"""[commands] of agent.toml: what this machine lets a collector do, which no collector can widen."""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass

from novacron_contract.commands import Verb
from novacron_contract.errors import ConfigError
from novacron_contract.settings import setting

_MAX_VMS = 10_000
_MAX_PATTERN = 256


def _patterns(vms: tuple[str, ...] | None) -> None:
    if vms is None:
        return
    if len(vms) > _MAX_VMS:
        raise ConfigError(f"at most {_MAX_VMS} VMs or patterns, got {len(vms)}")
    for pattern in vms:
        if not pattern or len(pattern) > _MAX_PATTERN:
            raise ConfigError(f"expected a name, UUID or pattern, got {pattern[:80]!r}")


@dataclass(frozen=True, kw_only=True)
class CommandsTable:
    """[commands]"""

    enabled: bool | None = setting(
        None, doc="Take commands from the collector; without it: where the agent has joined one"
    )
    verbs: tuple[Verb, ...] | None = setting(
        None, doc='The only ones that are taken, such as `["start", "stop"]`; `[]` is none at all'
    )
    vms: tuple[str, ...] | None = setting(
        None,
        check=_patterns,
        doc='The only VMs that are commanded: UUIDs, names, or patterns of names as `"web-*"`',
    )
    parallel: int = setting(8, minimum=1, maximum=64, doc="Commands that are carried out at once")

    def allows_verb(self, verb: Verb) -> bool:
        return self.verbs is None or verb in self.verbs

    def allows_vm(self, vm_id: str, name: str) -> bool:
        return self.vms is None or any(
            vm_id == pattern.lower() or fnmatch.fnmatchcase(name, pattern) for pattern in self.vms
        )
