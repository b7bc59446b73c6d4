"""Labs for tests that take them down: a single guest, nothing shared with other tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from novacron_lab.lab import Lab
from novacron_lab.plan import GUESTS


@pytest.fixture
def small_lab(short_folder: Path) -> Iterator[Lab]:
    """Not up yet; taken down in any case."""
    lab = Lab(directory=short_folder / "lab", plan=GUESTS[:1], say=print)
    try:
        yield lab
    finally:
        lab.down()
