"""The gates themselves: each must be able to fail."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

CI = Path(__file__).parents[2] / ".ci"

_PYPROJECT = """
[tool.coverage.run]
branch = true
source_pkgs = ["alpha", "beta", "empty"]
"""
_FUNCTIONS = """
def sign(number):
    if number < 0:
        return -1
    if number > 0:
        return 1
    return 0
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "pyproject.toml").write_text(_PYPROJECT)
    for name, code in {"alpha": _FUNCTIONS, "beta": _FUNCTIONS, "empty": ""}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(code)
    return tmp_path


def measured(project: Path, program: str) -> subprocess.CompletedProcess[str]:
    (project / "tests.py").write_text(f"import alpha, beta, empty\n{program}\n")
    run((sys.executable, "-m", "coverage", "run", "tests.py"), project)
    return run((sys.executable, str(CI / "coverage_per_component.py")), project)


def run(command: tuple[str, ...], folder: Path) -> subprocess.CompletedProcess[str]:
    # Not our own measurement's settings, if this run is measured itself.
    return subprocess.run(
        command, cwd=folder, env={"PYTHONPATH": str(folder)}, capture_output=True, text=True
    )


def test_a_component_that_is_hardly_tested_fails_the_gate(project: Path) -> None:
    done = measured(project, "[alpha.sign(n) for n in (-1, 0, 1)]; beta.sign(1)")

    assert done.returncode == 1, done.stderr
    assert "alpha                  100.0 %\n" in done.stdout
    assert "%   less than 80 %" in done.stdout.splitlines()[1]
    assert "empty                  no code yet" in done.stdout


def test_tested_components_pass_the_gate(project: Path) -> None:
    done = measured(project, "[m.sign(n) for m in (alpha, beta) for n in (-1, 0, 1)]")

    assert done.returncode == 0, done.stdout + done.stderr


def test_a_file_that_is_not_in_the_wheel_fails_the_gate(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n'
        '[project]\nname = "x"\nversion = "1"\n[project.scripts]\nx = "pkg.gone:main"\n'
        '[tool.hatch.build.targets.wheel]\npackages = ["src/pkg"]\nexclude = ["*.sql"]\n'
    )
    package = tmp_path / "src" / "pkg"
    package.mkdir(parents=True)
    for name in ("__init__.py", "schema.sql"):
        (package / name).write_text("")
    run(("git", "init", "--quiet"), tmp_path)
    run(("git", "add", "."), tmp_path)

    done = run((sys.executable, str(CI / "wheel.py")), tmp_path)

    assert done.returncode == 1, done.stderr
    assert "missing: pkg/schema.sql" in done.stderr
    assert "missing: pkg/py.typed" in done.stderr
    assert "no module for x" in done.stderr
