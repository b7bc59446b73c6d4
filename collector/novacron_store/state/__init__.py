"""State in SQLite or PostgreSQL: agents, inventory."""
