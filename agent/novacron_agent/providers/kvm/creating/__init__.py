"""A VM is made from its spec: volumes, seed, definition, start; and undone where one fails."""

from novacron_agent.providers.kvm.creating.create import Create

__all__ = ["Create"]
