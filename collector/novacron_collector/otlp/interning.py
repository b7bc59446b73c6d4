"""Numbers for what is on the wire again and again, so that it is read once."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Generic, TypeVar

import numpy as np
from google.protobuf.message import DecodeError

from novacron_collector.otlp.columns import Codes
from novacron_contract.errors import BadMessage

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Interned(Generic[Key, Value]):
    """Values by their bytes on the wire, numbered in the order they were first seen.

    `read` gives a value, and the code of the reason why it cannot be stored or 0.
    """

    def __init__(
        self, read: Callable[[Key], tuple[Value, int]], size_of: Callable[[Key], int]
    ) -> None:
        self._read = read
        self._size_of = size_of
        self._codes: dict[Key, int] = {}
        self._reasons = bytearray()
        self.values: list[Value] = []
        self.bytes = 0

    def __len__(self) -> int:
        return len(self.values)

    def codes(self, keys: Sequence[Key]) -> Codes:
        """The numbers of `keys`; what is new is read.

        Raises:
            BadMessage: it cannot be read.
        """
        known = list(map(self._codes.get, keys))
        if None in known:
            known = [self._code(key) for key in keys]
        return np.array(known, np.int64)

    def reasons(self, codes: Codes) -> Codes:
        """Why the values of these numbers cannot be stored; 0 where they can."""
        return np.frombuffer(self._reasons, np.uint8)[codes].astype(np.int64)

    def clear(self) -> None:
        self._codes.clear()
        self._reasons.clear()
        self.values.clear()
        self.bytes = 0

    def _code(self, key: Key) -> int:
        code = self._codes.get(key)
        if code is None:
            try:
                value, reason = self._read(key)
            except DecodeError as err:
                raise BadMessage(f"not an OTLP metrics request: {err}") from err
            code = self._codes[key] = len(self.values)
            self.values.append(value)
            self._reasons.append(reason)
            self.bytes += self._size_of(key)
        return code
