"""The table [commands] of collector.toml."""

from __future__ import annotations

from dataclasses import dataclass

from novacron_contract.settings import setting


@dataclass(frozen=True, kw_only=True)
class CommandSettings:
    """`max_per_minute` 0: without a limit. `redeliver`: until an agent that did not accept is told
    again. `margin`: how long after its last possible end the reports of a command may come."""

    max_per_minute: int = setting(0, minimum=0, maximum=1_000_000)
    per_host: int = setting(8, minimum=1, maximum=1000)
    redeliver: float = setting("10s", unit="s", minimum=0.1, maximum=600)
    margin: float = setting("10m", unit="s", minimum=1, maximum=86400)
    keep: float = setting("90d", unit="s", minimum=7 * 86400)
