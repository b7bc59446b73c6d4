"""Commands to VMs: taken from the collector, journalled, carried out, reported."""
