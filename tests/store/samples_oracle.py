"""What queries of the builder must say, worked out slowly from the samples themselves."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from novacron_store.telemetry.builder import (
    Aggregate,
    All,
    Any,
    Binary,
    Expression,
    Filter,
    HistogramQuantile,
    How,
    Label,
    Not,
    Over,
    Scalar,
    Select,
    Smooth,
)

Row = dict[int, float]  # by point
Rows = dict[frozenset[tuple[str, str]], Row]


@dataclass(frozen=True)
class Known:
    """A series: what it is called, and its samples in the order of time (milliseconds)."""

    metric: str
    labels: Mapping[str, str]
    shown: Mapping[str, str]  # without tags
    counter: bool
    delta: bool
    times: Sequence[int]
    values: Sequence[float]

    @property
    def increments(self) -> list[float]:
        if self.delta:
            return list(self.values)
        steps = [now if now < before else now - before
                 for before, now in zip(self.values, self.values[1:], strict=False)]  # fmt: skip
        return [0.0, *steps]


@dataclass(frozen=True)
class Oracle:
    series: Sequence[Known]
    start: int  # milliseconds
    step: int
    points: int

    def answer(self, of: Expression) -> Rows:
        return {name: row for name, row in self._rows(of).items() if row}

    def _rows(self, of: Expression) -> Rows:
        match of:
            case Select():
                return {_name(of, one): self._points(of, one) for one in self._chosen(of)}
            case Aggregate():
                return self._aggregate(of)
            case Smooth():
                return self._smooth(of)
            case Binary():
                return self._binary(of)
            case Scalar() | HistogramQuantile():
                raise AssertionError("neither a number alone nor samples of histograms have rows")

    def _chosen(self, of: Select) -> list[Known]:
        return [one for one in self.series if one.metric in of.metrics and holds(of.where, one)]

    def _points(self, of: Select, one: Known) -> Row:
        return {point: value for point in range(self.points)
                if (value := self._value(of, one, point)) is not None}  # fmt: skip

    def _value(self, of: Select, one: Known, point: int) -> float | None:
        window = self.step if of.window is None else round(of.window * 1000)
        end = self.start + self.step * point - round(of.offset * 1000)
        inside = [n for n, time in enumerate(one.times) if end - window <= time < end]
        if not inside:
            return None
        values = [one.values[n] for n in inside]
        seconds = [(one.times[n] - end) / 1000 for n in inside]
        match of.over:
            case Over.INCREASE | Over.RATE:
                grown = math.fsum(one.increments[n] for n in inside)
                return grown if of.over is Over.INCREASE else grown / (window / 1000)
            case Over.DELTA:
                before = [value for time, value in zip(one.times, one.values, strict=True)
                          if end - 2 * window <= time < end - window]  # fmt: skip
                return values[-1] - (before or values)[-1 if before else 0]
            case Over.DERIVATIVE:
                return float(np.polyfit(seconds, values, 1)[0]) if len(inside) > 1 else None
            case Over.QUANTILE:
                return float(np.quantile(values, of.argument))
            case _:
                return _OVER[of.over](values)

    def _aggregate(self, of: Aggregate) -> Rows:
        inner = self._labelled(of.of)
        found: Rows = {}
        if of.how in (How.TOP, How.BOTTOM):
            return self._leading(of, inner)
        for labels, _, row in inner:
            name = frozenset((n, labels[n]) for n in of.by if labels.get(n))
            found.setdefault(name, {})
            for point in row:
                same = [r[point] for other, _, r in inner if point in r
                        and all(other.get(n, "") == labels.get(n, "") for n in of.by)]  # fmt: skip
                found[name][point] = _HOW[of.how](same, of.argument)
        return found

    def leaders(self, of: Aggregate) -> dict[int, int]:
        """How many rows have a value at each point: of those that tie only so many are kept."""
        groups: dict[tuple[int, tuple[str, ...]], int] = {}
        for labels, _, row in self._labelled(of.of):
            for point in row:
                key = (point, tuple(labels.get(name, "") for name in of.by))
                groups[key] = groups.get(key, 0) + 1
        found: dict[int, int] = {}
        for (point, _), count in groups.items():
            found[point] = found.get(point, 0) + min(count, int(of.argument))
        return found

    def _leading(
        self, of: Aggregate, inner: list[tuple[Mapping[str, str], Mapping[str, str], Row]]
    ) -> Rows:
        """With all that tie with the last of them."""
        found: Rows = {}
        for labels, shown, row in inner:
            kept = {}
            for point, value in row.items():
                same = [r[point] for other, _, r in inner if point in r
                        and all(other.get(n, "") == labels.get(n, "") for n in of.by)]  # fmt: skip
                ahead = sum(x > value if of.how is How.TOP else x < value for x in same)
                if ahead < of.argument:
                    kept[point] = value
            found[frozenset(shown.items())] = kept
        return found

    def _labelled(self, of: Expression) -> list[tuple[Mapping[str, str], Mapping[str, str], Row]]:
        """Labels that may be aggregated by, labels that are shown, and the row."""
        if isinstance(of, Select):
            return [
                (one.labels, dict(_name(of, one)), self._points(of, one))
                for one in self._chosen(of)
            ]
        return [(dict(name), dict(name), row) for name, row in self._rows(of).items()]

    def _smooth(self, of: Smooth) -> Rows:
        longer = Oracle(self.series, self.start - self.step * (of.points - 1), self.step,
                        self.points + of.points - 1)  # fmt: skip
        found: Rows = {}
        for name, row in longer._rows(of.of).items():
            found[name] = {}
            for point in range(self.points):
                seen = [row[n] for n in range(point, point + of.points) if n in row]
                if seen:
                    found[name][point] = math.fsum(seen) / len(seen)
        return found

    def _binary(self, of: Binary) -> Rows:
        if isinstance(of.right, Scalar):
            right = of.right.value
            return {
                name: {p: v for p, x in row.items()
                       if (v := calculate(of.op, x, right)) is not None}
                for name, row in self._rows(of.left).items()
            }  # fmt: skip
        left, right_rows = self._rows(of.left), self._rows(of.right)
        return {
            name: {p: v for p, x in row.items() if p in right_rows[name]
                   and (v := calculate(of.op, x, right_rows[name][p])) is not None}
            for name, row in left.items() if name in right_rows
        }  # fmt: skip


def _name(of: Select, one: Known) -> frozenset[tuple[str, str]]:
    known = {"metric": one.metric} if isinstance(of.metric, tuple) else {}
    return frozenset({**one.shown, **known}.items())


def holds(of: Filter, one: Known) -> bool:
    match of:
        case Label():
            value = one.labels.get(of.name, "")
            found = value == of.value if "~" not in of.op else bool(re.fullmatch(of.value, value))
            return found != of.op.startswith("!")
        case Not():
            return not holds(of.of, one)
        case All():
            return all(holds(part, one) for part in of.of)
        case Any():
            return any(holds(part, one) for part in of.of)


def calculate(op: str, left: float, right: float) -> float | None:
    if op == "/":
        return left / right if right else None
    return {"+": left + right, "-": left - right, "*": left * right}[op]


_OVER: dict[Over, Callable[[list[float]], float]] = {
    Over.AVG: lambda values: math.fsum(values) / len(values),
    Over.MIN: min,
    Over.MAX: max,
    Over.SUM: math.fsum,
    Over.COUNT: len,
    Over.FIRST: lambda values: values[0],
    Over.LAST: lambda values: values[-1],
    Over.STDDEV: lambda values: float(np.std(values)),
}
_HOW: dict[How, Callable[[list[float], float], float]] = {
    How.SUM: lambda values, _: math.fsum(values),
    How.AVG: lambda values, _: math.fsum(values) / len(values),
    How.MIN: lambda values, _: min(values),
    How.MAX: lambda values, _: max(values),
    How.COUNT: lambda values, _: len(values),
    How.STDDEV: lambda values, _: float(np.std(values)),
    How.QUANTILE: lambda values, share: float(np.quantile(values, share)),
}
