"""What ends the agent's wait for its next tick: the end, or a change that is told at once."""

from __future__ import annotations

import threading
import time


class Wake:
    """Told from any thread."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._stopping = False
        self._changed = False

    def stop(self) -> None:
        with self._condition:
            self._stopping = True
            self._condition.notify_all()

    def change(self) -> None:
        with self._condition:
            self._changed = True
            self._condition.notify_all()

    @property
    def is_stopping(self) -> bool:
        return self._stopping

    def wait(self, due: float) -> bool:
        """Until the monotonic second `due`, a change, or the end; whether there was a change."""
        with self._condition:
            self._condition.wait_for(
                lambda: self._stopping or self._changed, max(0.0, due - time.monotonic())
            )
            changed, self._changed = self._changed and not self._stopping, False
            return changed

    def pause(self, seconds: float) -> None:
        """So long, or until the end."""
        with self._condition:
            self._condition.wait_for(lambda: self._stopping, seconds)
