"""What a destination said to a request, and what follows from it: OTLP's answer table."""

from __future__ import annotations

import email.utils
import time
from dataclasses import dataclass

from novacron_contract.errors import BadMessage
from novacron_otlp.wire import fields, signed

_PARTIAL_SUCCESS = 1  # of ExportMetricsServiceResponse
_MAX_REASON = 200  # characters of a destination's text that are told
_LONGEST_WAIT_S = 600.0  # that a destination may ask for
WHO_WE_ARE = "it wants to know who we are: see headers_file, cert_file"
NO_RIGHTS = "we may not write there: see headers_file, cert_file"


@dataclass(frozen=True, slots=True)
class Accepted:
    """Done with. `rejected` points were refused, for `reason`; the others were taken."""

    rejected: int = 0
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Later:
    """Send the same again, not before `after_s` where the destination said so.

    `unreachable`: there was no connection, so trying again costs nobody anything.
    """

    reason: str
    after_s: float = 0.0
    unreachable: bool = False


@dataclass(frozen=True, slots=True)
class Doubtful:
    """The destination failed over it, by accident or because of it: after a few attempts more it
    is as good as refused."""

    reason: str


@dataclass(frozen=True, slots=True)
class TooLarge:
    """In parts it may be taken."""

    reason: str


@dataclass(frozen=True, slots=True)
class Refused:
    """It would be refused again. Where it is several requests, one of them may be the reason."""

    reason: str


Answer = Accepted | Later | Doubtful | TooLarge | Refused


def accepted(response: bytes) -> Accepted:
    """From the body of a success, which may say that some points were not wanted."""
    try:
        parts = [part for number, part in fields(response) if number == _PARTIAL_SUCCESS]
        rejected, reason = number_and_text(b"".join(p for p in parts if isinstance(p, bytes)))
    except BadMessage:
        return Accepted()  # not protobuf; the status alone says that it was taken
    return Accepted(max(0, rejected), one_line(reason))


def number_and_text(message: bytes) -> tuple[int, str]:
    """Of ExportMetricsPartialSuccess and of google.rpc.Status, which have them under 1 and 2.

    Raises:
        BadMessage: it is neither.
    """
    number, text = 0, b""
    for of, content in fields(message):
        if of == 1 and isinstance(content, int):
            number = signed(content)
        elif of == 2 and isinstance(content, bytes):
            text = content
    try:
        return number, text.decode()
    except UnicodeDecodeError as err:
        raise BadMessage("its text is no UTF-8") from err


def one_line(text: str) -> str:
    """A destination's words as they may be logged."""
    printable = "".join(c if c.isprintable() else " " for c in text[: 4 * _MAX_REASON])
    return " ".join(printable.split())[:_MAX_REASON]


def wait_of(retry_after: str) -> float:
    """Seconds of a Retry-After header, which is seconds or a date; 0 for none."""
    try:
        return bounded_wait(float(retry_after))
    except ValueError:
        pass
    try:
        until = email.utils.parsedate_to_datetime(retry_after).timestamp()
    except (ValueError, OverflowError):
        return 0.0
    return bounded_wait(until - time.time())


def bounded_wait(seconds: float) -> float:
    """What is no number is no wait, either."""
    return min(seconds, _LONGEST_WAIT_S) if seconds > 0 else 0.0
