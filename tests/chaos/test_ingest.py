"""Nothing acknowledged is lost or counted twice while everything is killed: the short storm."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import pytest

from chaos.storm import Plan, Storm

log = logging.getLogger(__name__)

KILLS = 16


@pytest.mark.chaos
@pytest.mark.timeout(600)
def test_what_was_acknowledged_is_there_once_whatever_is_killed(tmp_path: Path) -> None:
    report = Storm(Plan(seed=20261126, kills=KILLS, limit_s=90), tmp_path, log.info).run()

    sys.stdout.writelines(f"{name}: {figure}\n" for name, figure in report.rows())
    assert report.violations == ()
    assert report.killed.total() >= KILLS // 3
    assert any(report.struck.values())
