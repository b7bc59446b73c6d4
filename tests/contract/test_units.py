"""Values as people read them."""

from __future__ import annotations

import pytest

from novacron_contract.units import duration, readable


@pytest.mark.parametrize(
    ("value", "unit", "expected"),
    [
        (None, "By", "–"),
        (float("nan"), "1", "–"),
        (float("inf"), "s", "∞"),
        (0, "By", "0 B"),
        (1023, "By", "1023 B"),
        (1024, "By", "1 KiB"),
        (1.5 * 1024**3, "By", "1.5 GiB"),
        (1024**2 - 1, "By", "1 MiB"),
        (2.0**80, "By", "1048576 EiB"),
        (-2048, "By", "-2 KiB"),
        (999, "By/s", "999 B/s"),
        (1234, "By/s", "1.23 kB/s"),
        (1e9, "By/s", "1 GB/s"),
        (0.421, "1", "42.1 %"),
        (1.5, "1", "150.0 %"),
        (8, "{cpu}", "8 cpu"),
        (1500, "{packet}/s", "1.5 kpacket/s"),
        (1_200_000, "", "1.2 M"),
        (90, "s", "1 min 30 s"),
        (61.0, "Cel", "61 °C"),
        (-3.25, "Cel", "-3.25 °C"),
    ],
)
def test_value_reads_well(value: float | None, unit: str, expected: str) -> None:
    assert readable(value, unit) == expected


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0, "0 s"),
        (0.0123, "12.3 ms"),
        (0.9999, "1 s"),
        (1.25, "1.2 s"),
        (59.97, "1 min"),
        (60, "1 min"),
        (119.6, "2 min"),
        (200, "3 min 20 s"),
        (3600, "1 h"),
        (3661, "1 h 1 min"),
        (86400 * 2 + 3 * 3600, "2 d 3 h"),
        (-5, "-5 s"),
    ],
)
def test_duration_reads_well(seconds: float, expected: str) -> None:
    assert duration(seconds) == expected
