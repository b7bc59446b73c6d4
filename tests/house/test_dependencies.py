"""What may depend on what: packages, libraries, pins."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PINS = ROOT / "packaging" / "requirements"


def pyproject() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


def test_components_meet_in_data_and_not_in_imports() -> None:
    linter = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run((linter, "--no-cache"), cwd=ROOT, capture_output=True, text=True)

    assert done.returncode == 0, done.stdout


def test_the_contract_needs_nothing_but_python() -> None:
    allowed = sys.stdlib_module_names | {"novacron_contract"}

    for module in (ROOT / "agent" / "novacron_contract").rglob("*.py"):
        assert set(imported(module)) <= allowed, module


def test_packaging_is_no_package() -> None:
    """From the root of the tree it would hide the library of that name from every tool."""
    assert list((ROOT / "packaging").rglob("__init__.py")) == []


def test_every_package_is_in_the_wheel_typed_and_measured() -> None:
    tool = pyproject()["tool"]
    folders = ("agent", "collector", "analytics", "ui")
    packages = {p.parent for f in folders for p in (ROOT / f).glob("novacron_*/__init__.py")}

    names = {package.name for package in packages}
    in_wheel = {Path(p).name for p in tool["hatch"]["build"]["targets"]["wheel"]["packages"]}
    assert in_wheel == names
    assert set(tool["coverage"]["run"]["source_pkgs"]) == names
    assert set(tool["importlinter"]["root_packages"]) == names
    assert [p.name for p in packages if not (p / "py.typed").exists()] == []


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def pins(file: Path) -> dict[str, int]:
    """Each pinned library, and how many hashes it has."""
    entries = file.read_text(encoding="utf-8").replace("\\\n", " ").splitlines()
    return {
        normal(entry.partition("==")[0]): entry.count("--hash=sha256:")
        for entry in entries
        if entry and not entry.startswith("#")
    }


def asked_for(*extras: str) -> set[str]:
    optional = pyproject()["project"]["optional-dependencies"]
    wanted: set[str] = set()
    for extra in extras:
        for requirement in optional[extra]:
            own = re.fullmatch(r"novacron\[(.+)\]", requirement)
            wanted |= asked_for(*own[1].split(",")) if own else {library(requirement)}
    return wanted


def library(requirement: str) -> str:
    match = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert match, requirement
    return normal(match[0])


@pytest.mark.parametrize(
    ("file", "extras", "group"),
    [
        ("agent", ("kvm",), None),
        ("run", ("all", "kvm"), None),
        ("dev", ("dev", "kvm"), "build"),
        ("build", (), "build"),
        ("agent-test", (), "agent-test"),
    ],
)
def test_what_pyproject_asks_for_is_pinned_by_hash(
    file: str, extras: tuple[str, ...], group: str | None
) -> None:
    pinned = pins(PINS / f"{file}.txt")
    asked = asked_for(*extras)
    if group:
        asked |= {library(entry) for entry in pyproject()["dependency-groups"][group]}

    assert asked - set(pinned) == set(), "run: make requirements"
    assert [name for name, hashes in pinned.items() if not hashes] == []


def test_an_agent_gets_none_of_the_servers_libraries() -> None:
    heavy = {"flask", "dash", "pyarrow", "chdb", "sqlalchemy", "clickhouse-connect", "numpy"}

    assert set(pins(PINS / "agent.txt")) & heavy == set()


def test_the_architecture_tells_why_each_library_is_there() -> None:
    table = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8").partition("## Libraries")[2]
    extras = pyproject()["project"]["optional-dependencies"].keys() - {"dev"}

    assert [name for name in sorted(asked_for(*extras)) if name not in table] == []
