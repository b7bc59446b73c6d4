"""The program that sends: what it calls itself, and how it holds what it hands over."""

from __future__ import annotations

import gzip
import time
import zlib
from dataclasses import dataclass

from novacron_contract.errors import BadMessage
from novacron_otlp.answer import one_line
from novacron_otlp.settings import Compression

_GZIP_LEVEL = 1  # 5 takes twice the CPU time for 6 % fewer bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """`held`: how bodies are that it gives to a transport. `clock_header`: of each request, tells
    when it leaves (unix milliseconds). `environment`: where the settings name no proxy, those of
    the environment are asked, except for this machine."""

    user_agent: str
    held: Compression = Compression.NONE
    clock_header: str = ""
    environment: bool = False

    def body(self, body: bytes, wanted: Compression) -> bytes:
        """
        Raises:
            BadMessage: it was held compressed, and is damaged.
        """
        if self.held is wanted:
            return body
        if wanted is Compression.GZIP:
            return gzip.compress(body, _GZIP_LEVEL, mtime=0)
        try:
            return gzip.decompress(body)
        except (OSError, EOFError, zlib.error) as err:
            raise BadMessage(f"the disk did not give it back: {one_line(str(err))}") from err

    def clock(self) -> dict[str, str]:
        return {self.clock_header: str(time.time_ns() // 10**6)} if self.clock_header else {}
