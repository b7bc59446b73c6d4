"""OTLP metrics, from the wire to Arrow tables: a fast path, a plain one beside it, one meaning."""
