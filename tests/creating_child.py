"""An agent's command that dies at a point: python creating_child.py URI POINT < order.json

Exit code 0: it lived to the end. What it witnessed is on stdout, a line each.
"""

from __future__ import annotations

import json
import os
import sys

from creating_world import die, interrupted, perform
from lifecycle_contract import Heard
from novacron_contract.commands import order


class Told(Heard):
    def witness(self, text: str) -> None:
        super().witness(text)
        os.write(1, f"{text}\n".encode())


def main(uri: str, at: int) -> None:
    with interrupted(at, die):
        perform(uri, order(json.load(sys.stdin)), Told())


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
