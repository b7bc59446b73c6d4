"""Whether commands are taken, for what, and whether the hypervisor would let us."""

from __future__ import annotations

from pathlib import Path

from novacron_agent.commands.service import Situation
from novacron_agent.commands.situation import situation
from novacron_agent.finding import Finding, ok, warn
from novacron_agent.settings import Settings

_WHAT = "commands"


def check_commands(settings: Settings, path: Path, patience_s: float) -> list[Finding]:
    """Nothing is commanded, and the collector is not asked."""
    here = situation(settings, path)
    if settings.commands.enabled is False:
        return [ok(_WHAT, "switched off by [commands] enabled = false")]
    if here.way is None:
        if settings.commands.enabled:
            why = "[commands] enabled = true, and this agent has joined no collector"
            return [warn(_WHAT, why, "join one: novacron-agent join")]
        return [ok(_WHAT, "none are taken: this agent has joined no collector")]
    return findings_of(here, patience_s)


def findings_of(here: Situation, patience_s: float) -> list[Finding]:
    if here.lifecycle is None:
        return [ok(_WHAT, "none are taken: there is no provider that can command VMs")]
    table = here.table
    able = here.lifecycle.verbs()
    found = here.lifecycle.check(patience_s)
    unable = sorted(verb for verb in table.verbs or () if verb not in able)
    if unable:
        why = f"the provider cannot {', '.join(unable)}"
        found.append(warn(_WHAT, why, "take them out of verbs in [commands]"))
    verbs = ", ".join(sorted(verb for verb in able if table.allows_verb(verb))) or "nothing"
    vms = "every VM" if table.vms is None else f"what {len(table.vms)} entries of vms name"
    return [*found, ok(_WHAT, f"the collector may {verbs}: {vms}")]
