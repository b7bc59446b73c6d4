"""The seed from which cloud-init learns who its VM is: NoCloud, on a disk labelled CIDATA."""

from __future__ import annotations

import json

from novacron_agent.providers.kvm.creating.fat import image
from novacron_contract.vm_spec import CloudInit


def seed(vm_id: str, name: str, of: CloudInit) -> bytes:
    """`meta-data` is JSON, which is YAML."""
    meta = {"instance-id": vm_id, "local-hostname": name, **of.meta_data}
    files = {
        "meta-data": json.dumps(meta, indent=1) + "\n",
        "user-data": of.user_data,
        **({} if of.network_config is None else {"network-config": of.network_config}),
    }
    return image("CIDATA", {name: text.encode() for name, text in files.items()})
