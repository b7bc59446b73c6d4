"""Users, their sessions and tokens, and the audit."""
