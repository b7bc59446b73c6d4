"""The only code that speaks SQL: telemetry (ClickHouse), state (SQLite or PostgreSQL)."""
