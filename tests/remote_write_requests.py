"""Arbitrary remote-write requests, and what a simple reading of the rules stores of them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st

from noon import NOON
from novacron_collector.otlp.limits import Window
from remote_write_bodies import STALE, message

NOW_MS = (NOON - 41_600) * 1000
WINDOW = Window(NOW_MS - 7 * 86_400_000, NOW_MS + 600_000)

_NAMES = st.sampled_from(
    [
        "up",
        "a_total",
        "a_seconds_total",
        "a_seconds_count",
        "a_bytes_sum",
        "a_bucket",
        "b_ratio",
        "",
    ]
)
# What costs a series or a sample is rare, so that most are stored and compared.
_OTHERS = st.sampled_from([*6 * ["le", "cpu", "ü", "service.name", "vm.id"], ""])
_TEXTS = st.sampled_from(["a", "b", "ab", "\0", "", "x" * 300])
_JOBS = st.sampled_from(["node", "ns/node", "a/b/c", "/x", "x/", ""])
_VALUES = st.sampled_from(
    [*3 * [0.0, -0.0, 1.5, -7.25, 1e300, 5e-324, math.nan, STALE], math.inf, -math.inf]
)
_DAY = 86_400_000
_TIMES = st.sampled_from(
    [
        *(NOW_MS - ago for ago in 5 * (0, 1, 15_000, -300_000)),
        *(0, -1, 2**63 - 1, -(2**63), NOW_MS - 8 * _DAY, NOW_MS + _DAY),
    ]
)
_WHOLE = st.integers(0, 2**40)


def _labels() -> st.SearchStrategy[list[Any]]:
    known = st.fixed_dictionaries({}, optional={"job": _JOBS, "instance": _TEXTS})
    named = st.builds(lambda name, rest: {"__name__": name, **rest}, _NAMES, known)
    pair = st.tuples(_OTHERS, _TEXTS)
    unique = st.lists(pair, max_size=3, unique_by=lambda named: named[0])
    others = unique | unique | unique | st.lists(pair, max_size=3)
    return st.builds(
        lambda head, rest: [
            message("Label")(name=name, value=text) for name, text in [*head.items(), *rest]
        ],
        named | named | named | known,
        others,
    ).flatmap(st.permutations)


def _samples() -> st.SearchStrategy[list[Any]]:
    one = st.builds(message("Sample"), value=_VALUES, timestamp=_TIMES)
    return st.lists(one, max_size=3)


@st.composite
def _histograms(draw: st.DrawFn) -> Any:
    whole = draw(st.booleans())
    fields: dict[str, Any] = {
        "sum": draw(_VALUES),
        "schema": draw(st.sampled_from([*4 * [-4, 0, 3, 8], 9, -5, -53])),
        "timestamp": draw(_TIMES),
        "reset_hint": draw(st.sampled_from([*5 * [0, 1, 2], 3])),
        "zero_threshold": draw(st.sampled_from([0.0, 0.001])),
    }
    sizes = {"count": draw(_WHOLE), "zero_count": draw(_WHOLE)}
    fields |= {f"{k}_{'int' if whole else 'float'}": n for k, n in sizes.items()}
    for side in ("positive", "negative"):
        spans = draw(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3)), max_size=3))
        counts = [draw(_WHOLE) for _ in range(sum(length for _, length in spans))]
        fields[f"{side}_spans"] = [{"offset": o, "length": n} for o, n in spans]
        if whole:
            before = [0, *counts]
            deltas = [count - last for count, last in zip(counts, before, strict=False)]
            fields[f"{side}_deltas"] = deltas
        else:
            fields[f"{side}_counts"] = [float(count) for count in counts]
    return message("Histogram")(**fields)


def _exemplars() -> st.SearchStrategy[list[Any]]:
    label = message("Label")
    traced = label(name="trace_id", value="5b8efff798038103d269b633813fc60c")
    labels = st.sampled_from([[], [traced], [label(name="trace_id", value="x"), label(name="q")]])
    one = st.builds(
        message("Exemplar"), labels=labels, value=st.just(0.5), timestamp=st.just(NOW_MS)
    )
    return st.lists(one, max_size=2)


def requests() -> st.SearchStrategy[Any]:
    one = st.builds(
        message("TimeSeries"),
        labels=_labels(),
        samples=_samples(),
        histograms=st.lists(_histograms(), max_size=2),
        exemplars=st.just([]),
    )
    traced = st.builds(
        message("TimeSeries"),
        labels=_labels(),
        samples=st.lists(
            st.builds(message("Sample"), value=st.just(1.0), timestamp=st.just(NOW_MS)),
            min_size=1,
            max_size=1,
        ),
        exemplars=_exemplars(),
    )
    return st.builds(message("WriteRequest"), timeseries=st.lists(one | traced, max_size=4))


class Expected:
    """Rows as sorted text, and how many samples and histograms are not stored."""

    def __init__(self, request: Any) -> None:
        self.samples: list[tuple[Any, ...]] = []
        self.histograms: list[tuple[Any, ...]] = []
        self.exemplars: list[tuple[Any, ...]] = []
        self.rejected = 0
        for series in request.timeseries:
            self._read(series)

    def _read(self, series: Any) -> None:
        names = Counter(label.name for label in series.labels)
        if "" in names or any(count > 1 for count in names.values()):
            self.rejected += len(series.samples) + len(series.histograms) + len(series.exemplars)
            return
        labels = {label.name: label.value for label in series.labels if label.value}
        name = labels.pop("__name__", "")
        key = (name, entity(labels.pop("job", ""), labels.pop("instance", "")), sorted_text(labels))
        for sample in series.samples:
            stored = bool(name) and fits(sample.timestamp) and not math.isinf(sample.value)
            self.rejected += not stored
            if stored:
                self.samples.append((*key, kind(name), sample.timestamp, repr(sample.value)))
                for one in series.exemplars:
                    self.exemplars.append((*key, *exemplar(one)))
        for histogram in series.histograms:
            stored = bool(name) and fits(histogram.timestamp) and is_representable(histogram)
            self.rejected += not stored
            if stored:
                self.histograms.append((*key, histogram.timestamp, *moments(histogram)))


def entity(job: str, instance: str) -> str:
    return f"{job}/{instance}".rstrip("/") if job and instance else job or "resource"


def kind(name: str) -> tuple[bool, str]:
    """(monotonic, unit)"""
    counts = name.endswith(("_total", "_count", "_sum", "_bucket"))
    units = {"a_seconds_total": "s", "a_bytes_sum": "By", "b_ratio": "1"}
    return counts, units.get(name, "")


def fits(ms: int) -> bool:
    return ms > 0 and WINDOW.oldest <= ms <= WINDOW.newest


def sorted_text(labels: dict[str, str]) -> str:
    return repr(sorted(labels.items()))


def exemplar(one: Any) -> tuple[Any, ...]:
    labels = {label.name: label.value for label in one.labels}
    trace = labels.get("trace_id", "")
    if len(trace) == 32:
        del labels["trace_id"]
    return (one.timestamp, one.value, trace if len(trace) == 32 else "", sorted_text(labels))


def is_ended(histogram: Any) -> bool:
    stale = message("Sample")(value=STALE).SerializeToString()
    return bool(message("Sample")(value=histogram.sum).SerializeToString() == stale)


def is_representable(histogram: Any) -> bool:
    if is_ended(histogram):
        return True
    known = -4 <= histogram.schema <= 8 and histogram.reset_hint != 3
    return known and not math.isinf(histogram.sum)


def moments(histogram: Any) -> tuple[Any, ...]:
    if is_ended(histogram):
        return (True,)
    integers = histogram.WhichOneof("count") == "count_int"
    count = histogram.count_int if integers else histogram.count_float
    zero = histogram.zero_count_int if integers else histogram.zero_count_float
    head = (int(count), repr(histogram.sum), histogram.schema, int(zero), histogram.zero_threshold)
    sides = (dict(absolute(histogram, side, integers)) for side in ("positive", "negative"))
    return (False, *head, *map(sorted_text, sides))  # type: ignore[arg-type]


def absolute(histogram: Any, side: str, integers: bool) -> Iterator[tuple[int, int]]:
    """(Prometheus' index of a bucket, its count), of those that are not empty."""
    values = iter(getattr(histogram, f"{side}_{'deltas' if integers else 'counts'}"))
    index = count = 0
    for span in getattr(histogram, f"{side}_spans"):
        index += span.offset
        for _ in range(span.length):
            value = next(values)
            count = count + value if integers else int(value)
            if count:
                yield index, count
            index += 1
