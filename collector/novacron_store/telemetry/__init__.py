"""Telemetry in ClickHouse: schema, writing, rollups, retention, queries."""
