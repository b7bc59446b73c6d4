"""Questions to both stores in turn: that the answers are equal, and the CPU that they take."""

from __future__ import annotations

import json
import math
import statistics
import urllib.parse
from collections.abc import Sequence
from functools import partial
from typing import Any

from novacron_store.telemetry.builder import (
    Answer as Evaluated,
)
from novacron_store.telemetry.builder import (
    HeldHours,
    Index,
    Resolution,
    Samples,
    evaluate,
    label,
    samples,
)
from store_machines import Described
from store_questions import (
    MINUTE_MS,
    OF_SERIES,
    Answer,
    Peers,
    Questions,
    Spans,
    Words,
    peers_answer,
)
from store_servers import Peer, Store, get, spent

ROUNDS, A_ROUND = 5, 10  # times that a question is asked, each of another host


def questions(machines: Described, words: Words, spans: Spans, end: int) -> list[Questions]:
    """Those of a round."""
    hosts = [tags["host.id"] for tags in machines.tags]
    return [
        Questions(machines, words, spans, end, hosts[n * 7 % len(hosts)]) for n in range(A_ROUND)
    ]


def asked(
    store: Store, peer: Peer, sets: Sequence[Questions], said: dict[str, str], prefix: str = ""
) -> dict[str, float]:
    """`PREFIXq_NAME_ms` of ours, `_vm_ms` of the peer, and the `_ratio_to_vm`, where nothing of the
    samples is held; `PREFIXagain_q_NAME_...` where each was asked before. What was asked is added
    to `said`."""
    figures: dict[str, float] = {}
    index = Index()
    for name in sets[0].peers():
        for suffix, resolution in (("", None), ("_from_samples", Resolution.RAW)):
            if suffix and name != "top10":
                continue  # asked of samples anyway
            for again in (False, True):
                held = HeldHours() if again else None
                ours = [partial(_ours, store, one, name, resolution, index, held) for one in sets]
                peers = [partial(_peers, peer.url, one.peers()[name], again) for one in sets]
                values = 0
                for one, mine, other in zip(sets, ours, peers, strict=True):
                    answer = _answer(one, name, mine())
                    values += _compare(name, answer, peers_answer(one.machines, name, other()))
                said[f"{prefix}q_{name}{suffix}"] = f"{_text(sets[0], name)}; {values} values equal"
                pairs = [
                    (spent(store.process, ours, True), spent(peer.process, peers, False))
                    for _ in range(ROUNDS)
                ]
                ms, of_peer = (statistics.median(of) for of in zip(*pairs, strict=True))
                key = f"{prefix}{'again_' if again else ''}q_{name}{suffix}"
                figures[f"{key}_ms"] = ms
                figures[f"{key}_vm_ms"] = of_peer
                figures[f"{key}_ratio_to_vm"] = ms / of_peer
    return figures


def _text(one: Questions, name: str) -> str:
    """In the peer's words."""
    asked = one.peers()[name].parameters
    spans = one.spans.raw if name == "one_vm_raw" else one.spans.whole
    step = f", each {asked['step']}" if "step" in asked else ""
    return f"{spans // MINUTE_MS} min{step}: {asked['query']}"


def _ours(
    store: Store,
    one: Questions,
    name: str,
    resolution: Resolution | None,
    index: Index,
    held: HeldHours | None,
) -> Evaluated | Samples:
    """Within the index's ten seconds the series of a metric are known, as the peer knows them; of
    its hours those that are `held`."""
    index.hours = HeldHours() if held is None else held
    if name == "one_vm_raw":
        start, end = (one.end - one.spans.raw) / 1000, one.end / 1000
        return samples(store.client, [one.words.cpu], start, end, label("entity", one.host), index)
    return evaluate(store.client, one.ours(resolution)[name], index)


def _answer(one: Questions, name: str, found: Evaluated | Samples) -> Answer:
    """By what a line is of, and time, as the peer's."""
    known = {
        (tags["host.id"], metric, value): str(one.machines.ids[n, k])
        for n, tags in enumerate(one.machines.tags)
        for k, (metric, _, value, _) in enumerate(one.machines.series)
    }
    answer: Answer = {}
    for row, told in enumerate(found.labels):
        what = told.get("entity", "all")
        if name in OF_SERIES:
            own = [value for label_, value in told.items() if label_ not in ("entity", "metric")]
            what = known[what, told.get("metric", one.words.cpu), "".join(own)]
        times = found.times[row] if isinstance(found, Samples) else found.times
        for time_ms, value in zip(times.tolist(), found.values[row].tolist(), strict=True):
            if not math.isnan(value):
                answer[what, time_ms / 1000] = value
    return answer


def _peers(url: str, asked: Peers, again: bool) -> list[Any]:
    """It holds answers, and of the parts of an index which have what; `nocache`: no answers."""
    text = urllib.parse.urlencode(asked.parameters | ({} if again else {"nocache": 1}))
    answer = json.loads(get(f"{url}/api/v1/{asked.path}?{text}"))
    result: list[Any] = answer["data"]["result"]
    return result


def _compare(name: str, ours: Answer, peers: Answer) -> int:
    """How many values there are. The first window of a rate has no sample before it here, and one
    there, or the other way.

    Raises:
        SystemExit: they differ.
    """
    begin = min((time for _, time in ours), default=0.0)
    keys = {key for key in {*ours, *peers} if name != "rate" or key[1] > begin}
    wrong = [
        key for key in keys
        if not math.isclose(ours.get(key, math.nan), peers.get(key, math.nan),
                            rel_tol=1e-9, abs_tol=1e-12)
    ]  # fmt: skip
    if wrong:
        key = wrong[0]
        raise SystemExit(
            f"\n{name}: {len(wrong)} of {len(keys)} values differ, at {key}: "
            f"{ours.get(key)}, the peer says {peers.get(key)}"
        )
    return len(keys)
