"""ClickHouse's errors: its codes, its text, and the HTTP status each becomes."""

from __future__ import annotations

import re

from novacron_contract.errors import NovaCronError

SYNTAX_ERROR = (62, "SYNTAX_ERROR")
BAD_ARGUMENTS = (36, "BAD_ARGUMENTS")
NOT_IMPLEMENTED = (48, "NOT_IMPLEMENTED")
UNKNOWN_SETTING = (115, "UNKNOWN_SETTING")
UNKNOWN_FORMAT = (73, "UNKNOWN_FORMAT")
READONLY = (164, "READONLY")
TOO_MANY_SIMULTANEOUS_QUERIES = (202, "TOO_MANY_SIMULTANEOUS_QUERIES")
SESSION_NOT_FOUND = (372, "SESSION_NOT_FOUND")
SESSION_IS_LOCKED = (373, "SESSION_IS_LOCKED")
SETTING_CONSTRAINT_VIOLATION = (452, "SETTING_CONSTRAINT_VIOLATION")
ACCESS_DENIED = (497, "ACCESS_DENIED")
AUTHENTICATION_FAILED = (516, "AUTHENTICATION_FAILED")
CANNOT_DECOMPRESS = (271, "CANNOT_DECOMPRESS")
TOO_LARGE_BODY = (396, "TOO_MANY_ROWS_OR_BYTES")
UNKNOWN_EXCEPTION = (1002, "UNKNOWN_EXCEPTION")

_STATUS = {
    int(code): status
    for status, codes in {
        400: "6 20 26 27 33 36 38 39 41 42 43 44 53 62 69 72 117 167 271 306 427 456 457",
        403: "164 192 193 452 497 516",
        404: "46 47 50 56 60 63 73 78 81 115 372",
        408: "159",
        409: "373",
        413: "396",
        501: "48",
        503: "202 439",
    }.items()
    for code in codes.split()
}


class EngineError(NovaCronError):
    """An error as ClickHouse words it: "Code: 62. DB::Exception: … (SYNTAX_ERROR)"."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.status = _STATUS.get(code, 500)

    @property
    def text(self) -> str:
        return str(self)

    @classmethod
    def of(cls, kind: tuple[int, str], reason: str) -> EngineError:
        """An error of ours, in ClickHouse's words."""
        code, name = kind
        return cls(code, f"Code: {code}. DB::Exception: {reason} ({name})")

    @classmethod
    def from_engine(cls, raw: Exception) -> EngineError:
        """What chDB raised: plain exceptions with ClickHouse's text somewhere inside."""
        found = re.search(r"(?:Code: (\d+)\. DB::Exception: )+(.*)", str(raw), re.DOTALL)
        if found is None:
            return cls.of(UNKNOWN_EXCEPTION, str(raw).strip() or type(raw).__name__)
        return cls(int(found[1]), f"Code: {found[1]}. DB::Exception: {found[2].strip()}")
