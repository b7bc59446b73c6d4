"""The client of OTLP that agent and collector send with: HTTP and gRPC, answers, halves."""
