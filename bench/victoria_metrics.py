"""The peer: VictoriaMetrics, a single node, through its text import.

It gets the same points in requests of the same sizes over as many connections. Its time ends when
it has written what it took and merges nothing any more. The labels of a series are what its OTLP
resource and attributes say, as VictoriaMetrics' own OTLP import has them.
"""

from __future__ import annotations

import json
import re
import shutil
import time
import urllib.parse
import urllib.request
from pathlib import Path

from ingest_requests import COUNTED, POINTS, SCRAPES
from load import send
from program import free_port, running

_PROGRAM = "victoria-metrics"
_INSTALL = "apt-get install --no-install-recommends victoria-metrics"
_ACTIVE = re.compile(r"^vm_active_merges\{.*\} (\d+)$", re.MULTILINE)
_HOURS = 3  # the points lie within so many from now


def measure(size: str, scrapes: Path, folder: Path) -> dict[str, float]:
    """Figures by name for requests of one size; `folder` is empty and stays behind.

    Raises:
        SystemExit: it is not installed.
    """
    program = shutil.which(_PROGRAM)
    if program is None:
        raise SystemExit(f"\nthe peer {_PROGRAM} is not installed: {_INSTALL}")
    address = f"127.0.0.1:{free_port()}"
    url = f"http://{address}"
    command = [program, f"-storageDataPath={folder}/data", f"-httpListenAddr={address}"]
    with running([*command, "-retentionPeriod=1"], f"{url}/health", folder) as server:
        _send(url, scrapes, 0, 1)
        began = server.cpu_s()
        _send(url, scrapes, 1, SCRAPES)
        seconds, peak = server.cpu_s() - began, server.peak_mb()
        _check(url)
    return {
        f"vm_text_{size}points_per_cpu_s": COUNTED / seconds,
        f"vm_{size}rss_mb": peak,
    }


def _send(url: str, scrapes: Path, first: int, last: int) -> None:
    send(f"{url}/api/v1/import/prometheus", "text/plain", scrapes, first, last)
    _get(f"{url}/internal/force_flush")
    quiet = 0
    while quiet < 2:  # for a second
        time.sleep(0.5)
        merging = sum(map(int, _ACTIVE.findall(_get(f"{url}/metrics"))))
        quiet = 0 if merging else quiet + 1


def _check(url: str) -> None:
    asked = {
        "query": f'sum(count_over_time({{__name__!=""}}[{_HOURS}h]))',
        "time": str(int(time.time()) + _HOURS * 3600),
        "nocache": "1",
    }
    answer = json.loads(_get(f"{url}/api/v1/query?{urllib.parse.urlencode(asked)}"))
    stored = int(answer["data"]["result"][0]["value"][1])
    assert stored == POINTS, f"{_PROGRAM} stored {stored} points of {POINTS}"


def _get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=60) as answer:
        return str(answer.read().decode())
