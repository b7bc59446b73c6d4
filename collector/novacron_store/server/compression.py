"""Compressed bodies: of requests, read with a bound, and of answers, written piece by piece."""

from __future__ import annotations

import gzip
import io
import re
import zlib
from collections.abc import Callable
from typing import Any, BinaryIO, Protocol

import lz4.frame
import zstandard

from novacron_store.server.failures import CANNOT_DECOMPRESS, NOT_IMPLEMENTED, EngineError

_ZLIB_LEVEL = 3  # ClickHouse's own
_REFUSED = re.compile(r"\s*q\s*=\s*0(\.0*)?\s*")  # the weight of an encoding that is not wanted
_GZIP_WBITS = 31  # zlib's way to say: with gzip's header


class Compressor(Protocol):
    def compress(self, data: bytes, /) -> bytes: ...

    def flush(self) -> bytes: ...


def decompress(body: bytes, encoding: str, limit: int) -> bytes:
    """The plain body, or its first `limit` + 1 bytes where it is longer.

    Raises:
        EngineError: an encoding nobody here knows, or a body that is not in it.
    """
    if encoding in ("", "identity") or not body:
        return body
    opener = _DECOMPRESSORS.get(encoding)
    if opener is None:
        raise EngineError.of(NOT_IMPLEMENTED, f"Content-Encoding {encoding[:32]!r} is not known")
    try:
        plain: bytes = opener(io.BytesIO(body)).read(limit + 1)
    except (OSError, EOFError, RuntimeError, zlib.error, zstandard.ZstdError) as err:
        raise EngineError.of(CANNOT_DECOMPRESS, f"the body is not {encoding}: {err}") from err
    return plain


def chosen(accepted: str) -> str:
    """The cheapest encoding an Accept-Encoding header allows (RFC 9110, 12.5.3); "" for none."""
    items = [item.strip().partition(";") for item in accepted.lower().split(",")]
    wanted = {name.strip() for name, _, weight in items if not _REFUSED.fullmatch(weight)}
    return next((name for name in _COMPRESSORS if name in wanted), "")


def compressor(encoding: str) -> Compressor:
    """For one answer in an encoding that `chosen` chose."""
    return _COMPRESSORS[encoding]()


class _Deflate(io.BytesIO):
    """A zlib stream, read once and with a bound."""

    def __init__(self, raw: BinaryIO) -> None:
        super().__init__()
        self._raw = raw

    def read(self, size: int | None = -1, /) -> bytes:
        stream = zlib.decompressobj()
        plain = stream.decompress(self._raw.read(), size or -1)
        if not stream.eof and not stream.unconsumed_tail:
            raise EOFError("it ends too early")
        return plain


class _Zstandard(io.BytesIO):
    """Zstandard frames, read once and with a bound: the library's own reader takes torn ones."""

    def __init__(self, raw: BinaryIO) -> None:
        super().__init__()
        self._raw = raw

    def read(self, size: int | None = -1, /) -> bytes:
        plain, torn = io.BytesIO(), False
        frame = zstandard.ZstdDecompressor().decompressobj()
        piece = self._raw.read(1024)  # not more than 32 MiB when inflated
        while piece and plain.tell() < (size or -1):
            plain.write(frame.decompress(piece))
            torn, piece = not frame.eof, frame.unused_data
            if frame.eof:
                frame = zstandard.ZstdDecompressor().decompressobj()
            piece = piece or self._raw.read(1024)
        if torn and not piece:
            raise EOFError("it ends too early")
        return plain.getvalue()


_DECOMPRESSORS: dict[str, Callable[[BinaryIO], Any]] = {
    "gzip": lambda raw: gzip.GzipFile(fileobj=raw),
    "deflate": _Deflate,
    "lz4": lz4.frame.LZ4FrameFile,
    "zstd": _Zstandard,
}


class _Lz4:
    """One lz4 frame."""

    def __init__(self) -> None:
        self._frame = lz4.frame.LZ4FrameCompressor()
        self._begin: bytes = self._frame.begin()

    def compress(self, data: bytes, /) -> bytes:
        begin, self._begin = self._begin, b""
        piece: bytes = self._frame.compress(data)
        return begin + piece

    def flush(self) -> bytes:
        end: bytes = self._frame.flush()
        return self._begin + end


_COMPRESSORS: dict[str, Callable[[], Compressor]] = {
    "lz4": _Lz4,
    "zstd": lambda: zstandard.ZstdCompressor(level=1).compressobj(),
    "gzip": lambda: zlib.compressobj(_ZLIB_LEVEL, wbits=_GZIP_WBITS),
    "deflate": lambda: zlib.compressobj(_ZLIB_LEVEL),
}
