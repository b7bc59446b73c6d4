"""Forwarding: what was received goes on to other OTLP receivers, each with a queue of its own."""
