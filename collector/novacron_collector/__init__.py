"""The central collector: OTLP in, ClickHouse out, REST and the live feed."""
