"""The contract's metrics are named and measured alike."""

from __future__ import annotations

import re

import pytest

from novacron_contract.metrics import (
    AGENT_METRICS,
    BY_NAME,
    HOST_METRICS,
    LIBVIRT_METRICS,
    METRICS,
    VM_METRICS,
    Kind,
    Metric,
)

EACH = pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)


def test_every_name_is_used_once() -> None:
    assert len(BY_NAME) == len(METRICS)


@EACH
def test_names_are_opentelemetrys_way(metric: Metric) -> None:
    assert re.fullmatch(r"[a-z][a-z0-9_]*(\.[a-z0-9_]+)+", metric.name)
    assert metric.description
    assert not metric.description.endswith(".")


@EACH
def test_units_are_base_units_shares_or_counted_things(metric: Metric) -> None:
    assert metric.unit in ("s", "By", "By/s", "1", "Cel", "rpm") or re.fullmatch(
        r"\{[a-z]+\}", metric.unit
    )


@EACH
def test_a_share_is_a_gauge(metric: Metric) -> None:
    if metric.name.endswith("utilization"):
        assert (metric.unit, metric.kind) == ("1", Kind.GAUGE)


@pytest.mark.parametrize(
    ("metrics", "namespace"),
    [
        (HOST_METRICS, ("system.", "hw.")),
        (VM_METRICS, "vm."),
        (LIBVIRT_METRICS, "libvirt."),
        (AGENT_METRICS, ("novacron.agent.", "process.")),
    ],
)
def test_who_is_measured_shows_in_the_name(
    metrics: tuple[Metric, ...], namespace: str | tuple[str, ...]
) -> None:
    assert all(metric.name.startswith(namespace) for metric in metrics)


def test_an_interface_is_known_by_its_mac_as_its_name_changes_in_a_migration() -> None:
    for metric in VM_METRICS:
        if metric.name.startswith("vm.network"):
            assert "network.interface.mac" in metric.attributes
            assert "network.interface.name" not in metric.attributes
