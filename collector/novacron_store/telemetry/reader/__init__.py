"""What a person may ask: one SELECT over the views, and nothing that reaches anything else."""

from novacron_store.telemetry.reader.check import Ask, Reader, check_format

__all__ = ["Ask", "Reader", "check_format"]
