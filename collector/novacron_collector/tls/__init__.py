"""The authority that signs agents' certificates and the collector's own; TLS of its ports."""
