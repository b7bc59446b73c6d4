"""A VM is removed with what was created with it, and with nothing else."""

from novacron_agent.providers.kvm.deleting.delete import Delete

__all__ = ["Delete"]
