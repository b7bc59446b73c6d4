"""Which hypervisors `novacron up` finds, and what it says when the lab cannot be had."""

from __future__ import annotations

import socket
import tempfile
import time
from pathlib import Path

import pytest

from novacron_cli.up.hypervisors import Lab, libvirt_answers
from novacron_contract.errors import Unavailable


def test_a_libvirt_that_answers_is_found() -> None:
    assert libvirt_answers("test:///default")


def test_where_no_libvirt_listens_none_is_found() -> None:
    assert not libvirt_answers("qemu+unix:///system?socket=/nowhere")


def test_a_libvirt_that_hangs_is_not_waited_for() -> None:
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as silent:
        silent.bind(f"{folder}/sock")
        silent.listen()
        began = time.monotonic()

        assert not libvirt_answers(f"qemu+unix:///system?socket={folder}/sock", timeout=1.0)

    assert time.monotonic() - began < 5


def test_a_lab_that_was_never_made_has_no_hosts(tmp_path: Path) -> None:
    lab = Lab(tmp_path / "lab")

    assert (lab.hosts(), lab.guests(), lab.exists()) == ([], [], False)


def test_why_the_lab_cannot_start_is_told(short_folder: Path) -> None:
    (short_folder / "lab").mkdir()
    (short_folder / "lab" / "a-file-of-mine").touch()

    with pytest.raises(Unavailable, match="is neither empty nor a lab; name another one"):
        Lab(short_folder / "lab").up(lambda line: None)
