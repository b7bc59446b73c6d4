"""What a request asks for: a query to answer, or an INSERT with its data."""

from __future__ import annotations

import re
from dataclasses import dataclass

_QUOTED = r"""`(?:[^`\\]|\\.)*`|"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'"""
_INSERT = re.compile(
    rf"\s*INSERT\s(?:{_QUOTED}|[^`\"'])*?\bFORMAT\s+(\w+)[ \t]*;?(?:\r?\n|\s|$)".encode(),
    re.IGNORECASE | re.DOTALL,
)
_INSERT_HEAD = 256 * 1024  # an INSERT's own text ends within this
_TAIL = 100  # a last FORMAT clause is not longer; the bound keeps the search for it short
_TAIL_FORMAT = re.compile(r"\sFORMAT\s+(\w+)[\s;]*$", re.IGNORECASE)
_READ = re.compile(r"(?:SELECT|WITH)\b", re.IGNORECASE)
_CONTEXT = re.compile(r"\s*(SET|USE)\b", re.IGNORECASE)

# The pieces chDB hands out are documents of their own; of these formats pieces join into one.
STREAMED_FORMATS = frozenset(
    {"Native", "ArrowStream", "JSONEachRow", "TabSeparated", "TSV", "CSV", "RowBinary"}
)


@dataclass(frozen=True, slots=True)
class Statement:
    """`data` is the block of an INSERT in `format`; of a query, `format` is the answer's."""

    text: str
    format: str
    data: memoryview | None = None

    @property
    def streams(self) -> bool:
        """Whether the answer can go out piece by piece: a plain read in a format that joins."""
        return self._reads and self.format in STREAMED_FORMATS

    @property
    def leaves_no_trace(self) -> bool:
        """One plain read: no temporary table, no setting, no database that outlives it."""
        return self._reads and ";" not in self.text.rstrip("; \t\r\n")

    @property
    def _reads(self) -> bool:
        return _READ.match(self.text.lstrip(" \t\r\n(")) is not None and not _writes(self.text)

    @property
    def changes_context(self) -> bool:
        """SET and USE: what they change outlives the request, in its session."""
        return _CONTEXT.match(self.text) is not None


def assemble(query: str, body: bytes, default_format: str) -> Statement:
    """Join the `query` parameter and the body as ClickHouse does.

    Raises:
        UnicodeDecodeError: a query that is not UTF-8.
    """
    whole = f"{query}\n".encode() + body if query and body else query.encode() or body
    head = _INSERT.match(whole[:_INSERT_HEAD])
    if head and not re.search(rb"\bSELECT\b", head[0], re.IGNORECASE):
        text = head[0][: head.start(1) - head.start()].decode().rstrip()
        insert = text[: -len("FORMAT")].rstrip()
        return Statement(insert, head[1].decode(), memoryview(whole)[head.end() :])
    return _query(whole.decode(), default_format)


def split_format(text: str) -> tuple[str, str | None]:
    """The query without its last FORMAT clause, and the format that clause names."""
    text = text.rstrip()
    start = max(0, len(text) - _TAIL)
    found = _TAIL_FORMAT.search(text, start)
    return (text[: found.start()], found[1]) if found else (text, None)


def _query(text: str, default_format: str) -> Statement:
    _, named = split_format(text)
    return Statement(text, named or default_format)


def _writes(text: str) -> bool:
    """WITH may lead to an INSERT, and a FORMAT may hide before SETTINGS: do not stream those."""
    rest, _ = split_format(text)
    return re.search(r"\b(?:INSERT|FORMAT|OUTFILE)\b", rest, re.IGNORECASE) is not None
