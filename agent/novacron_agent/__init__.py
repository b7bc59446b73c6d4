"""The program on a KVM host (or the AWS poller): scrapes, encodes OTLP, sends."""
