"""Scheduled analysis over stored telemetry: patterns, anomalies, forecasts, optimisation."""
