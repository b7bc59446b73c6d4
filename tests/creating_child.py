"""An agent's command that dies at a point: python creating_child.py URI POINT < order.json

Exit code 0: it lived to the end.
"""

from __future__ import annotations

import json
import sys

from creating_world import die, interrupted, perform
from novacron_contract.commands import order


def main(uri: str, at: int) -> None:
    with interrupted(at, die):
        perform(uri, order(json.load(sys.stdin)))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
