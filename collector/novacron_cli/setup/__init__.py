"""`novacron setup`: what an operator runs first on the collector's machine."""

from novacron_cli.setup.command import add_to

__all__ = ["add_to"]
