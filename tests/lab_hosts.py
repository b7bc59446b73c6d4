"""The fixture `lab`: two real KVM hosts with four real guests.

One for each file, and not for all: emulated guests keep half of a CPU busy as long as they run.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from novacron_contract.errors import NovaCronError
from novacron_lab.lab import Lab


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """Guests run and still boot: call `lab.wait_until_up()` before you look at their work."""
    with _short_folder() as folder:
        lab = Lab(directory=folder / "lab", say=print)
        try:
            lab.up()
            yield lab
        except NovaCronError as err:
            pytest.fail(f"no lab: {err}", pytrace=False)
        finally:
            lab.down()


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """Unix sockets of a lab fit in it, which pytest's own folders are too long for."""
    with _short_folder() as folder:
        yield folder


@contextmanager
def _short_folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="nclab-", dir="/tmp") as place:
        yield Path(place)
