"""Whether the guests can be measured; the provider knows how."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from novacron_agent.agent import provider_of
from novacron_agent.finding import Finding, ok, warn
from novacron_agent.settings import Settings

_SOCKETS = tuple(
    Path("/run/libvirt") / name
    for name in ("libvirt-sock-ro", "libvirt-sock", "virtqemud-sock-ro", "virtqemud-sock")
)


def check_guests(
    settings: Settings, path: Path, patience_s: float, sockets: Sequence[Path] = _SOCKETS
) -> list[Finding]:
    """A libvirt that nobody asks for is no mistake, but may be a surprise."""
    provider = provider_of(settings, path)
    if provider is not None:
        return provider.check(patience_s)
    if any(socket.exists() for socket in sockets):
        return [
            warn(
                "guests",
                "libvirt runs here, and no [provider] is named: guests are not measured",
                f'write into {path}: [provider] name = "kvm"',
            )
        ]
    return [ok("guests", "no [provider] is named: the machine alone is measured")]
