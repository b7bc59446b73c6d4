"""KVM hosts, through libvirt."""

from novacron_agent.providers.kvm.provider import KvmProvider

__all__ = ["KvmProvider"]
