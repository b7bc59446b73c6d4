"""How an agent joins a collector, and stays known to it.

Keys and certificates are made in short-lived processes (`join`, `renew`): what makes them is 10 MB
of memory, which the agent itself must not hold.
"""
