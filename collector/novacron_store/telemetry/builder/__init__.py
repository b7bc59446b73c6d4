"""Questions over series, for pages, API, alerts and analytics alike: what can be asked is in
expressions.py, `evaluate` answers it."""

from novacron_store.telemetry.builder.evaluate import Answer, Limits, Query, evaluate
from novacron_store.telemetry.builder.expressions import (
    Aggregate,
    Binary,
    Expression,
    HistogramQuantile,
    How,
    Over,
    Scalar,
    Select,
    Smooth,
)
from novacron_store.telemetry.builder.filters import All, Any, Filter, Label, Not, label, labels
from novacron_store.telemetry.builder.held_hours import HeldHours
from novacron_store.telemetry.builder.index import Index
from novacron_store.telemetry.builder.raw import Samples, samples
from novacron_store.telemetry.builder.thin import Line, lines_table, thin
from novacron_store.telemetry.progress import Resolution

__all__ = [
    "Aggregate",
    "All",
    "Answer",
    "Any",
    "Binary",
    "Expression",
    "Filter",
    "HeldHours",
    "HistogramQuantile",
    "How",
    "Index",
    "Label",
    "Limits",
    "Line",
    "Not",
    "Over",
    "Query",
    "Resolution",
    "Samples",
    "Scalar",
    "Select",
    "Smooth",
    "evaluate",
    "label",
    "labels",
    "lines_table",
    "samples",
    "thin",
]
