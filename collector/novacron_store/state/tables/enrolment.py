"""Agents' identities, the tokens they join by, and those of other senders."""
