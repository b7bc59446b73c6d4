"""What a VM is made from: the spec, its limits, and the JSON schema of it."""

from novacron_contract.vm_spec.document import parse, schema
from novacron_contract.vm_spec.labels import OWNER, SECRETS, is_taken, labels
from novacron_contract.vm_spec.spec import (
    Bandwidth,
    Boot,
    Bus,
    Cache,
    CloudInit,
    Device,
    Discard,
    Disk,
    Firmware,
    Format,
    Model,
    Network,
    Topology,
    Virtualization,
    VmSpec,
    Volume,
)

__all__ = [
    "OWNER",
    "SECRETS",
    "Bandwidth",
    "Boot",
    "Bus",
    "Cache",
    "CloudInit",
    "Device",
    "Discard",
    "Disk",
    "Firmware",
    "Format",
    "Model",
    "Network",
    "Topology",
    "Virtualization",
    "VmSpec",
    "Volume",
    "is_taken",
    "labels",
    "parse",
    "schema",
]
