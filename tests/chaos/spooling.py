"""A process that puts into a spool and sends from it, as an agent does, to be killed at any moment.

python -m chaos.spooling FOLDER URL FIRST: puts FIRST, FIRST + 1, …, and says each number when it is
on disk.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path

from delivering import destination, encode_gaps
from novacron_agent.delivery.counts import DeliveryCounts
from novacron_agent.delivery.delivery import client
from novacron_agent.delivery.intake import Intake
from novacron_agent.delivery.sender import Sender
from novacron_agent.delivery.spool import Limits, Spool
from novacron_otlp.http import HttpTransport
from sealed_requests import request

BATCHES = 40  # that the spool has room for, about
_LIMITS = Limits(size=BATCHES * 4500)


def main(folder: str, url: str, first: str) -> None:
    counts, news = DeliveryCounts("there"), threading.Event()
    spool, there = Spool(Path(folder) / "there.sqlite", _LIMITS, counts), destination(url)
    sender = Sender(
        "there",
        lambda: HttpTransport(there, client("test")),
        spool,
        Intake(counts),
        counts,
        news,
        lambda gaps: encode_gaps("there", gaps),
        first_wait_s=0.02,
    )
    number = int(first)
    sys.stdout.flush()
    spool.put([request(number)])
    os.write(1, b"%d\n" % number)
    sender.start()
    while True:
        number += 1
        spool.put([request(number)])
        os.write(1, b"%d\n" % number)
        news.set()
        time.sleep(0.004)


if __name__ == "__main__":
    main(*sys.argv[1:])
