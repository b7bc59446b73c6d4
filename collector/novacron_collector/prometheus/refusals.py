"""Why a part of a remote-write request cannot be stored, beside the reasons all senders share."""

from __future__ import annotations

from enum import StrEnum


class Refusal(StrEnum):
    NAMELESS_LABEL = "a label has no name"
    LABEL_TWICE = "a label occurs twice"
    NOT_UTF8 = "a label is not UTF-8"
    CUSTOM_BUCKETS = "a native histogram of a schema other than -4 to 8"
    GAUGE_HISTOGRAM = "a native gauge histogram, which has no form in OTLP"
    FRACTIONAL = "a native histogram whose counts are no whole numbers"
    BAD_SPANS = "a native histogram whose spans and buckets do not fit together, or are too many"
    LONE_EXEMPLAR = "an exemplar without a sample of its series"


class RefusedError(Exception):
    """Not to be stored, for this reason; its neighbours are."""

    def __init__(self, reason: StrEnum) -> None:
        super().__init__(reason)
        self.reason = reason
