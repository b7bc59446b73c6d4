"""Where OTLP comes in: over HTTP and over gRPC, with one meaning and one set of answers."""
