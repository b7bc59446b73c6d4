"""What can be asked: expressions over series, built of plain values.

    Aggregate("avg", Select("vm.cpu.utilization", where=label("team", "web")), by=("host.name",))

A window of `window` seconds that ends at t is [t - window, t), so that buckets say exactly what
their samples do. A function is NaN, a gap, where its window has no sample.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from novacron_contract.errors import BadMessage
from novacron_store.telemetry.builder.filters import EVERY, Filter

MAX_METRICS = 200


class Over(StrEnum):
    """What a window of samples becomes.

    `increase` adds the steps to every sample of the window from the one before it, whenever that
    was; a smaller value is a restart from 0. `rate` is that by second of the window, `delta` the
    last sample less the last one before the window (its first where there is none in the range),
    and `derivative` the slope, by second, of the line through the samples (least squares).
    """

    AVG = "avg"
    MIN = "min"
    MAX = "max"
    SUM = "sum"
    COUNT = "count"
    FIRST = "first"
    LAST = "last"
    STDDEV = "stddev"
    QUANTILE = "quantile"
    INCREASE = "increase"
    RATE = "rate"
    DELTA = "delta"
    DERIVATIVE = "derivative"


class How(StrEnum):
    """What series of one group become, at each time. `top` and `bottom` leave the `argument`
    largest and smallest as they are."""

    SUM = "sum"
    AVG = "avg"
    MIN = "min"
    MAX = "max"
    COUNT = "count"
    STDDEV = "stddev"
    QUANTILE = "quantile"
    TOP = "top"
    BOTTOM = "bottom"


@dataclass(frozen=True, slots=True)
class Select:
    """A function over windows of every series of a metric, or of several metrics: these have a
    label `metric` then.

    `window` in seconds, None: as long as a step. `offset` in seconds: so long before the time it is
    told for. `argument` is the quantile's share, 0 to 1.
    """

    metric: str | tuple[str, ...]
    over: Over = Over.AVG
    where: Filter = EVERY
    window: float | None = None
    offset: float = 0
    argument: float = 0.5

    def __post_init__(self) -> None:
        _require_share(self.over is Over.QUANTILE, self.argument)
        _require_windows(self)

    @property
    def metrics(self) -> tuple[str, ...]:
        return (self.metric,) if isinstance(self.metric, str) else self.metric


@dataclass(frozen=True, slots=True)
class HistogramQuantile:
    """The value that the share `argument` of all that histograms measured in a window does not
    exceed, as far as their buckets tell: linear in a bucket with explicit bounds, exponential in
    one of an exponential histogram.

    What series with equal labels `by` measured is added up, without `by` what all did. Metric,
    window and offset are as Select has them.
    """

    metric: str | tuple[str, ...]
    argument: float
    where: Filter = EVERY
    by: tuple[str, ...] = ()
    window: float | None = None
    offset: float = 0

    def __post_init__(self) -> None:
        _require_share(True, self.argument)
        _require_windows(self)

    @property
    def metrics(self) -> tuple[str, ...]:
        return (self.metric,) if isinstance(self.metric, str) else self.metric


@dataclass(frozen=True, slots=True)
class Aggregate:
    """Series with equal labels `by` become one; without `by` all do."""

    how: How
    of: Expression
    by: tuple[str, ...] = ()
    argument: float = 0.5

    def __post_init__(self) -> None:
        _require_share(self.how is How.QUANTILE, self.argument)
        if self.how in (How.TOP, How.BOTTOM) and not 1 <= self.argument <= 10_000:
            raise BadMessage(f"{self.how} {self.argument}: expected 1 to 10000")


@dataclass(frozen=True, slots=True)
class Smooth:
    """The mean of the last `points` values, those that are there."""

    of: Expression
    points: int

    def __post_init__(self) -> None:
        if not 1 <= self.points <= 10_000:
            raise BadMessage(f"a mean of {self.points} points: expected 1 to 10000")


@dataclass(frozen=True, slots=True)
class Scalar:
    value: float


@dataclass(frozen=True, slots=True)
class Binary:
    """`+ - * /` of series with equal labels (`on`: these alone); a single value goes with all."""

    op: str
    left: Expression
    right: Expression
    on: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if self.op not in ("+", "-", "*", "/"):
            raise BadMessage(f"{self.op!r}: expected one of + - * /")


Expression = Select | HistogramQuantile | Aggregate | Smooth | Scalar | Binary


def _require_share(asked: bool, share: float) -> None:
    if asked and not 0 <= share <= 1:
        raise BadMessage(f"a quantile of {share}: expected 0 to 1")


def _require_windows(of: Select | HistogramQuantile) -> None:
    if not 1 <= len(of.metrics) <= MAX_METRICS:
        raise BadMessage(f"{len(of.metrics)} metrics: expected 1 to {MAX_METRICS}")
    if of.window is not None and not 0.001 <= of.window <= 366 * 86400:
        raise BadMessage(f"a window of {of.window} s: expected 0.001 s to 366 days")
    if abs(of.offset) > 20 * 366 * 86400:
        raise BadMessage(f"an offset of {of.offset} s is more than 20 years")
