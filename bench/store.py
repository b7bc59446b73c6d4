"""The store beside VictoriaMetrics: the same samples, the same questions, CPU, and bytes on disk.

Run it as `make bench-store`. 500 hosts x 25 series x 6 hours every 15 seconds are written to a
novacron-store process and rolled up as time goes by, and imported into VictoriaMetrics. Each
question is asked of both in turn, of another host each time; CPU is that of both processes, the
client's here with ours. The answers must be equal. BENCH_MACHINES takes a smaller fleet.

    write_samples_per_cpu_s       writing 50,000 samples a batch, rolling up included
    write_250k_samples_per_cpu_s  the same hours in batches of 250,000, into a store of their own
    bytes_per_sample              and bytes_per_sample_total with buckets, bytes_per_sample_vm
    q_NAME_...                    questions about closed hours: _ms, _vm_ms, _ratio_to_vm; labels
                                  are known from before, and of samples nothing is held (the peer
                                  is told `nocache`)
    again_q_NAME_...              the same when it was asked before: with hours that are held, and
                                  the peer's cache of answers
    open_q_NAME_...               about the 40 minutes after these: an hour that is not closed, of
                                  which 35 minutes are gathered, and the newest are arrivals
                                  (open_again_q_NAME_...: the same again)
    q_30d_NAME_ms                 about a month of hours
    bitbrains_...                 bytes and questions, of days of real traces (store_traces.py);
                                  bitbrains_again_q_NAME_...: the same again

The traces are read where NOVACRON_BENCH_DATA says, a folder with bitbrains_rnd/; without that they
are left out. What each question is, is printed below the table.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

from report import report
from store_beside import asked, questions
from store_fleet import OPEN_TICKS, STEP_MS, TICKS, Span, StoreFleet
from store_month import add_days, long_ago
from store_questions import FLEETS, HOUR_MS, MINUTE_MS, TRACES, Spans
from store_servers import store, victoria
from store_traces import DAYS, Traces
from store_writing import begin, bytes_per_sample, fill, fill_open_hour, import_to

_BATCH, _LARGE_BATCH = 4, 20  # ticks: 50,000 and 250,000 samples of 500 hosts
_OPEN_MS = OPEN_TICKS * STEP_MS
_CLOSED = Spans(6 * HOUR_MS, HOUR_MS, MINUTE_MS, 6 * MINUTE_MS)
_OPEN = Spans(_OPEN_MS, _OPEN_MS, MINUTE_MS, _OPEN_MS // 60)
_DAYS = Spans(DAYS * 24 * HOUR_MS, 24 * HOUR_MS, HOUR_MS, 3 * HOUR_MS)  # a sample in 5 minutes

Said = dict[str, str]


def main() -> int:
    fleet = StoreFleet(int(os.environ.get("BENCH_MACHINES", "500")), _start())
    said: Said = {}
    with tempfile.TemporaryDirectory(prefix="novacron-bench-") as folder:
        figures = _fleet(fleet, Path(folder) / "fleet", said)
        figures |= _large_batches(fleet, Path(folder) / "large")
        figures |= _traces(Path(folder) / "traces", said)
    report("store", figures, said)
    return 0


def _start() -> int:
    """A whole hour, such that all that the fleet tells is some minutes old."""
    now = int(time.time() * 1000) - _OPEN_MS - MINUTE_MS
    return now // HOUR_MS * HOUR_MS - TICKS * STEP_MS


def _fleet(fleet: StoreFleet, folder: Path, said: Said) -> dict[str, float]:
    closed = Span(fleet, 0, TICKS, _BATCH)
    newest = Span(fleet, TICKS, TICKS + OPEN_TICKS, _BATCH)
    folder.mkdir()
    with store(folder) as ours, victoria(folder) as peer:
        begin(ours, closed)
        figures = {"write_samples_per_cpu_s": fill(ours, closed)}
        figures |= bytes_per_sample(ours.client, closed.samples)
        import_to(peer, closed)
        figures["bytes_per_sample_vm"] = peer.size() / closed.samples
        sets = questions(closed, FLEETS, _CLOSED, closed.end)
        figures |= asked(ours, peer, sets, said)
        fill_open_hour(ours, newest)
        import_to(peer, newest)
        sets = questions(newest, FLEETS, _OPEN, newest.end)
        figures |= asked(ours, peer, sets, said, "open_")
        add_days(ours.client, closed)
        figures |= long_ago(ours, closed)
    return figures


def _large_batches(fleet: StoreFleet, folder: Path) -> dict[str, float]:
    hours = Span(fleet, 0, TICKS, _LARGE_BATCH)
    folder.mkdir()
    with store(folder) as ours:
        begin(ours, hours)
        return {"write_250k_samples_per_cpu_s": fill(ours, hours)}


def _traces(folder: Path, said: Said) -> dict[str, float]:
    data = os.environ.get("NOVACRON_BENCH_DATA")
    if not data:
        said["bitbrains"] = "left out: NOVACRON_BENCH_DATA names no folder"
        return {}
    now = int(time.time() * 1000) - MINUTE_MS
    traces = Traces(Path(data) / "bitbrains_rnd", now // HOUR_MS * HOUR_MS)
    folder.mkdir()
    with store(folder) as ours, victoria(folder) as peer:
        begin(ours, traces)
        fill(ours, traces)
        sizes = bytes_per_sample(ours.client, traces.samples)
        import_to(peer, traces)
        sizes["bytes_per_sample_vm"] = peer.size() / traces.samples
        figures = {f"bitbrains_{name}": size for name, size in sizes.items()}
        sets = questions(traces, TRACES, _DAYS, traces.end)
        said["bitbrains"] = f"{len(traces.tags)} VMs, {DAYS} days, {traces.samples} samples"
        figures |= asked(ours, peer, sets, said, "bitbrains_")
    return figures


if __name__ == "__main__":
    sys.exit(main())
