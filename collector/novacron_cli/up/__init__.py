"""`novacron up` and `novacron down`: all of NovaCron on this machine, supervised.

Each part is a program of its own, started here with a configuration file, watched, started again
when it ends, and stopped in the reverse order.
"""

from novacron_cli.up.command import add_to

__all__ = ["add_to"]
