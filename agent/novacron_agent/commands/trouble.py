"""What goes wrong with the channel, said when it changes and not at every attempt."""

from __future__ import annotations

import logging

log = logging.getLogger(__name__)


class Trouble:
    """`now` is empty where all is well."""

    def __init__(self, what: str) -> None:
        self._what = what
        self.now = ""

    def is_over(self) -> None:
        if self.now:
            log.info("%s: well again", self._what)
        self.now = ""

    def is_now(self, sentence: str) -> None:
        if not self.now:
            log.warning("%s: %s; trying again", self._what, sentence)
        self.now = sentence
