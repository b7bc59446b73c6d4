"""One unit for each quantity."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from novacron_contract.base_units import base_unit, per_second


@pytest.mark.parametrize(
    ("unit", "base", "factor"),
    [
        ("s", "s", 1),
        ("ns", "s", 1e-9),
        ("us", "s", 1e-6),
        ("ms", "s", 1e-3),
        ("min", "s", 60),
        ("h", "s", 3600),
        ("d", "s", 86400),
        ("By", "By", 1),
        ("kBy", "By", 1e3),
        ("MBy", "By", 1e6),
        ("GBy", "By", 1e9),
        ("TBy", "By", 1e12),
        ("PBy", "By", 1e15),
        ("KiBy", "By", 1024),
        ("MiBy", "By", 1024**2),
        ("GiBy", "By", 1024**3),
        ("TiBy", "By", 1024**4),
        ("Mibit", "bit", 1024**2),
        ("kbit", "bit", 1e3),
        ("%", "1", 0.01),
        ("1", "1", 1),
        ("MHz", "Hz", 1e6),
        ("GHz", "Hz", 1e9),
        ("mW", "W", 1e-3),
        ("kJ", "J", 1e3),
        ("mV", "V", 1e-3),
        ("uA", "A", 1e-6),
        ("By/s", "By/s", 1),
        ("MiBy/s", "By/s", 1024**2),
        ("By/min", "By/s", 1 / 60),
        ("kBy/ms", "By/s", 1e6),
        ("{packet}/min", "{packet}/s", 1 / 60),
        ("ms/s", "1", 1e-3),
        ("1/s", "1/s", 1),
        ("/min", "1/s", 1 / 60),
        ("ms/{request}", "s/{request}", 1e-3),
        ("kBy/1", "By", 1e3),
        ("%/h", "1/s", 0.01 / 3600),
    ],
)
def test_values_are_brought_to_base_units(unit: str, base: str, factor: float) -> None:
    found = base_unit(unit)

    assert found[0] == base
    assert found[1] == pytest.approx(factor, rel=1e-15)


@pytest.mark.parametrize(
    "unit",
    ["", "{packet}", "{a/b}", "Cel", "[degF]", "mBy", "KBy", "parsec", "By/s/s", "furlong/min",
     "ms{wait}", "{a}{b}", "By/", "/", "m/s2", "10*3", "S", "by"],
)  # fmt: skip
def test_what_is_not_known_or_not_linear_stays_as_it_is(unit: str) -> None:
    assert base_unit(unit) == (unit, 1.0)


@given(st.one_of(st.text("mkKMGiBybits/%1{}hdWn", max_size=8), st.text(max_size=20)))
def test_a_base_unit_is_its_own_base(unit: str) -> None:
    base, factor = base_unit(unit)

    assert factor > 0
    assert base_unit(base) == (base, 1.0)


@pytest.mark.parametrize(
    ("base", "expected"),
    [("By", "By/s"), ("s", "1"), ("1", "1/s"), ("", "1/s"), ("{packet}", "{packet}/s"),
     ("By/s", "By/s2")],
)  # fmt: skip
def test_what_a_unit_is_by_second(base: str, expected: str) -> None:
    assert per_second(base) == expected
