"""The machine the agent runs on, seen from inside: OpenTelemetry's `system.*` through psutil."""
