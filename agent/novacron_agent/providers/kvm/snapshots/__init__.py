"""Snapshots of a VM within its qcow2 disks: made, gone back to, removed, told."""

from novacron_agent.providers.kvm.snapshots.listing import ListSnapshots
from novacron_agent.providers.kvm.snapshots.removing import DeleteSnapshot
from novacron_agent.providers.kvm.snapshots.reverting import Revert
from novacron_agent.providers.kvm.snapshots.taking import TakeSnapshot

__all__ = ["DeleteSnapshot", "ListSnapshots", "Revert", "TakeSnapshot"]
