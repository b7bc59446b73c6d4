"""What a VM's owner and tags are among the labels of its resource, by which people select VMs and
are given rights over them; and what of a spec is nobody's but its agent's."""

from __future__ import annotations

from collections.abc import Mapping

from novacron_contract.errors import BadMessage

OWNER = "vm.owner"
# What OpenTelemetry and NovaCron themselves say of machines begins so: no tag can.
_TAKEN = frozenset(
    ("vm", "host", "cloud", "os", "service", "telemetry", "novacron", "libvirt", "aws", "process")
)
SECRETS = (
    ("spec", "cloud_init", "user_data"),
    ("spec", "cloud_init", "network_config"),
    ("spec", "cloud_init", "meta_data"),
)  # among the arguments of a command


def labels(owner: str, tags: Mapping[str, str]) -> dict[str, str]:
    """A tag is a label of its own name.

    Raises:
        BadMessage: a tag has a name that is not for tags.
    """
    for name in tags:
        if is_taken(name):
            raise BadMessage(
                f"tags.{name[:80]}: the names that begin with {name.split('.')[0]} are not for tags"
            )
    return {**tags, **({OWNER: owner} if owner else {})}


def is_taken(name: str) -> bool:
    return not name or name.split(".")[0] in _TAKEN
