"""More or fewer CPUs, more or less memory for a guest."""

from novacron_agent.providers.kvm.resizing.resize import resize

__all__ = ["resize"]
