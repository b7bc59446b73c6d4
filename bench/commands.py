"""What commands cost: time from an order to libvirt, starts and creates of many guests beside plain
scripts, and the memory of 10,000 agents that wait for orders.

Run it as `make bench-commands`. Everything is real: a collector, agents that joined it, TLS on
loopback, a libvirtd of its own. BENCH_POLLS, BENCH_GUESTS, BENCH_NEW_GUESTS, BENCH_AGENTS,
BENCH_PAIRS and BENCH_SAMPLES take other numbers; BENCH_PARTS="calls bulk creates polls" some of the
parts.
"""

from __future__ import annotations

import os
import resource
import tempfile
from collections.abc import Mapping
from pathlib import Path

from command_creates import bulk_creates
from command_times import bulk, post_to_call
from idle_polls import idle_polls
from report import report

_OTHER_FILES = 1000


def polls(folder: Path, count: int) -> Mapping[str, float]:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard < count + _OTHER_FILES:
        raise SystemExit(f"this process may open {hard} files only: raise `ulimit -n`")
    alone, plain = idle_polls(folder / "plain", count, mtls=False)
    alone_mtls, mtls = idle_polls(folder / "mtls", count, mtls=True)
    return {
        "idle_polls": count,
        "idle_polls_0_rss_mb": alone,
        "idle_polls_rss_mb": plain,
        "idle_polls_mtls_0_rss_mb": alone_mtls,
        "idle_polls_mtls_rss_mb": mtls,
        "idle_polls_mtls_kb_each": (mtls - alone_mtls) * 1000 / count,
    }


def main() -> int:
    parts = os.environ.get("BENCH_PARTS", "calls bulk creates polls").split()
    figures: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if "calls" in parts:
            figures |= post_to_call(folder / "calls", _number("SAMPLES", 100))
        if "bulk" in parts:
            agents, guests = _number("AGENTS", 20), _number("GUESTS", 200)
            figures |= bulk(folder / "bulk", agents, guests, _number("PAIRS", 3))
        if "creates" in parts:
            new, pairs = _number("NEW_GUESTS", 50), _number("PAIRS", 3)
            figures |= bulk_creates(folder / "creates", new, pairs)
        if "polls" in parts:
            figures |= polls(folder, _number("POLLS", 10_000))
    report("commands", figures)
    return 0


def _number(name: str, default: int) -> int:
    return int(os.environ.get(f"BENCH_{name}", default))


if __name__ == "__main__":
    raise SystemExit(main())
