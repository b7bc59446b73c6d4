"""Each command comes to an end, and is done once at most, whatever is killed: the short storm."""

from __future__ import annotations

import logging
import os
import sys
from collections import Counter
from pathlib import Path

import pytest

from chaos.command_report import Plan
from chaos.command_storm import Storm
from novacron_contract.commands import State

pytestmark = [pytest.mark.chaos, pytest.mark.lab, pytest.mark.timeout(600)]

log = logging.getLogger(__name__)

SEED = int(os.environ.get("SEED", "20261201"))
COMMANDS = 60


def test_each_command_ends_and_is_done_once_whatever_is_killed(tmp_path: Path) -> None:
    report = Storm(Plan(SEED, COMMANDS, agents=2, guests=3), tmp_path, log.info).run()

    sys.stdout.writelines(f"{name}: {figure}\n" for name, figure in report.rows())
    assert report.violations == ()
    assert len(report.told) == COMMANDS
    assert min(report.killed["novacron-agent"], report.killed["novacron-collector"]) > 0
    assert report.struck.total() > 0
    assert Counter(one.state for one in report.told)[State.SUCCEEDED] > COMMANDS / 6
    assert report.happened > COMMANDS / 10
    assert report.left.defined, "VMs were made"
