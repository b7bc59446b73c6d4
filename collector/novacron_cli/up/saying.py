"""What `novacron up` and `down` say, a line each, whoever of their threads says it."""

from __future__ import annotations

import threading
import time

_speaking = threading.Lock()


def say(who: str, what: str) -> None:
    with _speaking:
        print(f"{time.strftime('%H:%M:%S')}  {who:<17} {what}", flush=True)
