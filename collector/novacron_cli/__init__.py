"""novacron: the operator's command line."""
