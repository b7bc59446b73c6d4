"""Prometheus remote write 1.0 as OTLP, so that all that follows is the same for both."""
