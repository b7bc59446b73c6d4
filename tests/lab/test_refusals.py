"""What the lab says when it cannot run, and that it touches nothing then."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from novacron_contract.errors import ConfigError
from novacron_lab import initrd, kernel, requirements
from novacron_lab.cli import main
from novacron_lab.commands import run
from novacron_lab.errors import LabError
from novacron_lab.lab import Lab
from novacron_lab.plan import GUESTS, GuestPlan


def test_missing_packages_are_named_with_the_command_that_installs_them() -> None:
    with pytest.raises(LabError, match=r"apt-get install --no-install-recommends no-such-package$"):
        requirements.check((*requirements.PACKAGES, "no-such-package"))


def test_the_installer_and_the_lab_agree_on_the_packages() -> None:
    listed = Path(__file__).parents[2] / "packaging/debian-packages/lab.txt"
    assert tuple(listed.read_text().split()) == requirements.PACKAGES


def test_whoever_is_not_root_is_told_so() -> None:
    script = "import os; from novacron_lab.requirements import check; os.setuid(65534); check()"
    with pytest.raises(LabError, match="run it as root"):
        run(sys.executable, "-c", script)


def test_a_kernel_that_apt_does_not_know_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = tmp_path / "apt.conf"
    settings.write_text(f'Dir::State "{tmp_path}"; Dir::Cache "{tmp_path}"; Dir::Etc "{tmp_path}";')
    monkeypatch.setenv("APT_CONFIG", str(settings))
    with pytest.raises(LabError, match="try: apt-get update"):
        kernel.fetch(tmp_path / "kernels")
    assert kernel.cached(tmp_path / "kernels") is None


def test_a_directory_with_other_things_in_it_is_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    treasure = tmp_path / "treasure"
    treasure.write_text("mine")
    lab = Lab(directory=tmp_path)
    with pytest.raises(ConfigError, match="neither empty nor a lab"):
        lab.up()
    assert main(["down", "--dir", str(tmp_path)]) == 0
    assert treasure.read_text() == "mine"


@pytest.mark.parametrize(
    ("directory", "sentence"),
    [("/tmp/" + "x" * 80, "too long for unix sockets"), ("/run/lab", "take another place")],
)
def test_a_directory_where_no_lab_can_live_is_refused(
    directory: str, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["up", "--dir", directory]) == 2
    assert sentence in capsys.readouterr().err
    assert not Path(directory).exists()


@pytest.mark.parametrize("seconds", ["0", "3601", "-1", "soon"])
def test_load_takes_up_to_an_hour(seconds: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["load", "web-1", f"--seconds={seconds}"])
    assert "expected 1 to 3600 whole seconds" in capsys.readouterr().err


def test_load_in_a_lab_that_is_down_says_how_to_start_it(
    short_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["load", "web-1", "--dir", str(short_folder / "lab")]) == 1
    assert "novacron-lab up" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["", "Web", "a/b", "a'b", "x" * 40])
def test_a_guests_name_cannot_break_its_xml(name: str) -> None:
    with pytest.raises(ValueError, match="is no name for a guest"):
        GuestPlan(name=name, host="lab-host-a", beats=GUESTS[0].beats)


def test_other_programs_can_read_the_initrd(tmp_path: Path) -> None:
    module = tmp_path / "00-some.ko"
    module.write_bytes(b"odd")
    (tmp_path / "initrd").write_bytes(initrd.build([module]))
    listing = run("sh", "-c", f"zcat {tmp_path}/initrd | busybox cpio -tv")

    assert "init\n" in listing
    assert "lib/modules/00-some.ko" in listing
