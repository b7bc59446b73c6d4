"""Names that OpenTelemetry publishes mean here what they mean there."""

from __future__ import annotations

import ast
import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest
from opentelemetry.semconv import attributes as stable_attributes
from opentelemetry.semconv import metrics as stable_metrics
from opentelemetry.semconv._incubating import attributes, metrics

from novacron_agent.agent import OwnResource
from novacron_agent.identity import Machine
from novacron_contract.collector_metrics import COLLECTOR_METRICS
from novacron_contract.metrics import METRICS, Metric


def published(*packages: ModuleType) -> Iterator[tuple[str, str]]:
    """Every name of the packages' modules, and the text below it. The last one of a name counts:
    what is stable is in the incubating package, too, as deprecated there."""
    folders = (folder for package in packages for folder in package.__path__)
    for module in (file for folder in folders for file in Path(folder).glob("*.py")):
        body = ast.parse(module.read_text(encoding="utf-8")).body
        for name, text in itertools.pairwise(body):
            match name, text:
                case (
                    ast.AnnAssign(value=ast.Constant(value=str(value))),
                    ast.Expr(value=ast.Constant(value=str(told))),
                ):
                    yield value, told


@dataclass(frozen=True, slots=True)
class Own:
    """Names of ours in a namespace of theirs, and why."""

    pattern: str
    reason: str


PUBLISHED_METRICS = dict(published(metrics, stable_metrics))
PUBLISHED_ATTRIBUTES = dict(published(attributes, stable_attributes))
NAMESPACES = {name.partition(".")[0] for name in (*PUBLISHED_METRICS, *PUBLISHED_ATTRIBUTES)}
OWN_METRICS = (
    Own(
        r"system\.cpu\.load_average\.(1|5|15)m",
        "none is published; the OpenTelemetry Collector's host metrics go by these names",
    ),
    Own(
        r"system\.disk\.(weighted_io_time|pending_operations)",
        "none is published; the OpenTelemetry Collector's host metrics go by these names",
    ),
    Own(
        r"system\.network\.conntrack\.(count|max)",
        "none is published; the OpenTelemetry Collector's host metrics go by these names",
    ),
    Own(
        r"system\.disk\.flush\.operation(s|_time)",
        "the published ones have read and write for directions, and a flush is neither",
    ),
    Own(
        r"system\.memory\.linux\.(commit|ksm|numa|oom_kills)\b.*",
        "none is published; Linux alone tells them, and this is the published place of such ones",
    ),
    Own(
        r"system\.linux\.pressure\.stall_time",
        "none is published; Linux alone tells it, and of CPU, memory and I/O alike",
    ),
    Own(
        r"system\.clock\.(offset|max_error|synchronized)",
        "none is published of the clock",
    ),
)
OWN_ATTRIBUTES = (
    Own(
        r"system\.memory\.linux\.hugepages\.page_size",
        "a host may have several sizes; the metric of this name tells one",
    ),
    Own(
        r"system\.(memory\.linux\.(ksm|numa)|linux\.pressure)\..*",
        "of the metrics of ours above",
    ),
    Own(
        r"network\.interface\.mac",
        "none is published of an interface; its name changes when a guest moves",
    ),
)
OURS = [m for m in (*METRICS, *COLLECTOR_METRICS) if m.name.partition(".")[0] in NAMESPACES]
KEYS = sorted(
    {key for metric in (*METRICS, *COLLECTOR_METRICS) for key in metric.attributes}
    | Machine(id="1", name="a", arch="amd64", os_description="Debian").resource.keys()
    | OwnResource("1", 1, {"host.id": "1", "host.name": "a"}).after([]).keys()
)


def exception(name: str, allowed: tuple[Own, ...]) -> Own | None:
    return next((own for own in allowed if re.fullmatch(own.pattern, name)), None)


@pytest.mark.parametrize("metric", OURS, ids=lambda metric: metric.name)
def test_a_metric_has_the_published_unit_and_kind(metric: Metric) -> None:
    if exception(metric.name, OWN_METRICS):
        assert metric.name not in PUBLISHED_METRICS, "it is published by now: no exception any more"
        return
    assert metric.name in PUBLISHED_METRICS
    told = PUBLISHED_METRICS[metric.name]
    assert not told.strip().startswith("Deprecated")
    assert re.findall(r"^(?:Instrument|Unit): (.+)$", told, re.MULTILINE) == [
        metric.kind,
        metric.unit,
    ]


@pytest.mark.parametrize("key", [key for key in KEYS if key.partition(".")[0] in NAMESPACES])
def test_an_attribute_has_a_published_name(key: str) -> None:
    if exception(key, OWN_ATTRIBUTES):
        assert key not in PUBLISHED_ATTRIBUTES, "it is published by now: no exception any more"
        return
    assert key in PUBLISHED_ATTRIBUTES
    assert not PUBLISHED_ATTRIBUTES[key].strip().startswith("Deprecated")


def test_no_exception_is_left_over() -> None:
    for own in OWN_METRICS:
        assert any(re.fullmatch(own.pattern, metric.name) for metric in OURS), own.reason
    for own in OWN_ATTRIBUTES:
        assert any(re.fullmatch(own.pattern, key) for key in KEYS), own.reason


def test_names_of_our_own_are_in_nobodys_namespace() -> None:
    own = {name.partition(".")[0] for metric in METRICS for name in (metric.name, *KEYS)}

    assert own - NAMESPACES == {"libvirt", "novacron", "vm"}
