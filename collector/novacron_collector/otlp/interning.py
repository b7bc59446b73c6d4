"""Numbers for what is on the wire again and again, so that it is read once."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from typing import Generic, TypeVar

import numpy as np
from google.protobuf.message import DecodeError

from novacron_collector.otlp.columns import Codes
from novacron_contract.errors import BadMessage

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Interned(Generic[Key, Value]):
    """Values by their bytes on the wire, numbered in the order they were first seen."""

    def __init__(self, read: Callable[[Key], Value], size_of: Callable[[Key], int]) -> None:
        self._read = read
        self._size_of = size_of
        self._codes: dict[Key, int] = {}
        self.values: list[Value] = []
        self.bytes = 0

    def __len__(self) -> int:
        return len(self.values)

    def codes(self, keys: Iterable[Key]) -> Codes:
        """The numbers of `keys`; what is new is read.

        Raises:
            BadMessage: it cannot be read.
        """
        return np.array([self._code(key) for key in keys], np.int64)

    def clear(self) -> None:
        self._codes.clear()
        self.values.clear()
        self.bytes = 0

    def _code(self, key: Key) -> int:
        code = self._codes.get(key)
        if code is None:
            try:
                value = self._read(key)
            except DecodeError as err:
                raise BadMessage(f"not an OTLP metrics request: {err}") from err
            code = self._codes[key] = len(self.values)
            self.values.append(value)
            self.bytes += self._size_of(key)
        return code
