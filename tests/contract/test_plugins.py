"""Plug-ins are found by name, loaded when asked for, and given their options."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from novacron_contract.errors import ConfigError
from novacron_contract.plugins import Registry

PLUGIN = """
from dataclasses import dataclass
@dataclass(frozen=True)
class Lamp:
    colour: str = "red"
"""
POINTS = """
[novacron.lamps]
lamp = lamps:Lamp
dark = no_such_library.lamps:Dark
"""


@pytest.fixture
def lamps(tmp_path: Path) -> Iterator[Registry]:
    """A package with two plug-ins, as pip would install it; one lacks its library."""
    (tmp_path / "lamps.py").write_text(PLUGIN)
    metadata = tmp_path / "lamps-1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: lamps\nVersion: 1\n")
    (metadata / "entry_points.txt").write_text(POINTS)
    sys.path.insert(0, str(tmp_path))
    yield Registry("novacron.lamps")
    sys.path.remove(str(tmp_path))
    sys.modules.pop("lamps", None)


def test_a_plug_in_is_loaded_when_it_is_asked_for(lamps: Registry) -> None:
    assert lamps.names() == ["dark", "lamp"]
    assert "lamps" not in sys.modules
    assert lamps.create("lamp", {"colour": "blue"}, where="f.toml: lamp").colour == "blue"


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("lamb", {}, "f.toml: lamp: name: expected one of dark, lamp, got 'lamb'"),
        ("lamp", {"color": "red"}, "f.toml: lamp: color: unknown; allowed: colour"),
        ("lamp", {"colour": 1}, "f.toml: lamp: colour: expected text, got 1"),
        ("dark", {}, "f.toml: lamp: dark: No module named 'no_such_library'; install it with: pip"),
    ],
)
def test_a_mistake_is_one_line(
    lamps: Registry, name: str, options: dict[str, object], message: str
) -> None:
    with pytest.raises(ConfigError) as failure:
        lamps.create(name, options, where="f.toml: lamp")
    assert str(failure.value).startswith(message)


def test_a_group_without_plug_ins_says_so() -> None:
    with pytest.raises(ConfigError, match="expected one of none is installed, got 'x'"):
        Registry("novacron.nothing").create("x", {}, where="f.toml")
