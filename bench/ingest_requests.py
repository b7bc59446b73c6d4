"""What `make bench-ingest` sends: a fleet's scrapes, in every form that a way takes, as files.

3,840 VMs (or BENCH_MACHINES) with 25 series each are scraped every 15 seconds for ten minutes. The
first scrape meets every series, and is not counted. The points lie an hour ahead of the clock, so
that a collector finds no window to roll up while it is measured.
"""

from __future__ import annotations

import gzip
import os
import pickle
import time
from collections.abc import Iterable
from pathlib import Path

from otlp_bodies import bodies
from prometheus_text import texts
from synthetic import SERIES, Fleet

VMS, STEP_S, SCRAPES = int(os.environ.get("BENCH_MACHINES", "3840")), 15, 41
SCRAPE = VMS * len(SERIES)  # points
POINTS = SCRAPES * SCRAPE
COUNTED = POINTS - SCRAPE
MAX_AHEAD = "3h"  # how far ahead of the clock a collector must take points

_SMALL_VMS = 8  # per request: 200 points
SIZES = {"": 10, "small_": 1}  # small requests in one: 2,000 points and 200
_LEVEL = 6  # of gzip, as senders have it

Requests = list[bytes]
Script = list[tuple[int, Requests]]  # each insert, and when it is made in Unix seconds
Scrapes = list[Requests]


def write_requests(folder: Path) -> None:
    """For each size: SIZEscript, a Script, and SIZEotlp and SIZEtext, gzipped Scrapes; pickled."""
    fleet, start = _fleet(SCRAPES)
    otlp = list(bodies(fleet, start, SCRAPES, _SMALL_VMS))
    for size, joined in SIZES.items():
        requests = _joined(otlp, joined)
        script: Script = [(start + n * STEP_S, r) for n, r in enumerate(requests, 1)]
        (folder / f"{size}script").write_bytes(pickle.dumps(script))
        (folder / f"{size}otlp").write_bytes(pickle.dumps(_gzipped(requests)))
    text = list(texts(fleet, start, SCRAPES, _SMALL_VMS))
    for size, joined in SIZES.items():
        (folder / f"{size}text").write_bytes(pickle.dumps(_gzipped(_joined(text, joined))))


def write_scrapes(file: Path, scrapes: int) -> int:
    """So many of them as OTLP, in requests of the larger size; returns the first one's time."""
    fleet, start = _fleet(scrapes)
    every = _joined(bodies(fleet, start, scrapes, _SMALL_VMS), SIZES[""])
    file.write_bytes(pickle.dumps(_gzipped(every)))
    return start


def _fleet(scrapes: int) -> tuple[Fleet, int]:
    """And when it is scraped first: the last of the scrapes is the last of an hour."""
    start = (int(time.time()) // 3600 + 2) * 3600 - STEP_S * scrapes
    return Fleet(VMS, STEP_S), start


def _joined(scrapes: Iterable[Requests], count: int) -> Scrapes:
    """Requests one after another are one request, in OTLP as in text."""
    return [
        [b"".join(requests[n : n + count]) for n in range(0, len(requests), count)]
        for requests in scrapes
    ]


def _gzipped(scrapes: Scrapes) -> Scrapes:
    return [[gzip.compress(body, _LEVEL) for body in requests] for requests in scrapes]
