"""Disks and network cards of a VM that is there, whether it runs or is off."""

from novacron_agent.providers.kvm.devices.attach_disk import AttachDisk
from novacron_agent.providers.kvm.devices.cards import AttachNic, DetachNic
from novacron_agent.providers.kvm.devices.detach_disk import DetachDisk
from novacron_agent.providers.kvm.devices.grow_disk import GrowDisk

__all__ = ["AttachDisk", "AttachNic", "DetachDisk", "DetachNic", "GrowDisk"]
