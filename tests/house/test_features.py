"""docs/FEATURES.md: a row for everything NovaCron is meant to do, and "done" only with a proof."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LETTERS = {"A": 17, "B": 15, "C": 22, "D": 22, "E": 17}
IDS = [f"{letter}{n}" for letter, last in LETTERS.items() for n in range(1, last + 1)]


@dataclass(frozen=True, slots=True)
class Row:
    id: str
    status: str
    where: str
    reach: str
    tests: str


def rows(text: str) -> list[Row]:
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines()]
    return [Row(*row) for row in cells if len(row) == 5 and row[0] in IDS]


def problems(text: str, root: Path) -> list[str]:
    found = [row.id for row in rows(text)]
    wrong = [f"{name}: {found.count(name)} rows" for name in IDS if found.count(name) != 1]
    for row in rows(text):
        if row.status not in ("done", "open"):
            wrong.append(f"{row.id}: {row.status!r} is neither done nor open")
        elif row.status == "done":
            wrong += _unproven(row, root)
    return wrong


def _unproven(row: Row, root: Path) -> list[str]:
    if not (row.where and row.reach):
        return [f"{row.id}: done, but not where it lives or how a user reaches it"]
    names = [name.strip("` ") for name in row.tests.split(",") if name.strip("` ")]
    if not names:
        return [f"{row.id}: done without a test"]
    return [f"{row.id}: no test {name}" for name in names if not _exists(name, root)]


def _exists(name: str, root: Path) -> bool:
    """tests/x/test_y.py, or a class or function in it: tests/x/test_y.py::test_z."""
    path, _, wanted = name.partition("::")
    file = root / path
    if not path.startswith("tests/") or not file.name.startswith("test_") or not file.is_file():
        return False
    nodes = ast.walk(ast.parse(file.read_text(encoding="utf-8")))
    tests = {n.name for n in nodes if isinstance(n, ast.FunctionDef | ast.ClassDef)}
    return wanted in tests if wanted else any(test.startswith("test_") for test in tests)


def test_every_feature_has_a_row_and_what_is_done_has_a_test() -> None:
    text = (ROOT / "docs" / "FEATURES.md").read_text(encoding="utf-8")

    assert problems(text, ROOT) == []


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (("| A1 | open |", "| A1 | soon |"), "A1: 'soon' is neither done nor open"),
        (("| A1 | open |", "| Z1 | open |"), "A1: 0 rows"),
        (("| A2 | open |", "| A1 | open |"), "A1: 2 rows"),
        (("| A1 | open | | | |", "| A1 | done | x | y | |"), "A1: done without a test"),
        (
            ("| A1 | open | | | |", "| A1 | done | x | y | tests/house/test_gone.py |"),
            "A1: no test tests/house/test_gone.py",
        ),
        (
            ("| A1 | open | | | |", "| A1 | done | x | y | tests/house/test_features.py::nope |"),
            "A1: no test tests/house/test_features.py::nope",
        ),
    ],
)
def test_a_dishonest_row_is_found(change: tuple[str, str], complaint: str) -> None:
    honest = "\n".join(f"| {name} | open | | | |" for name in IDS)
    assert problems(honest, ROOT) == []

    assert complaint in problems(honest.replace(*change, 1), ROOT)
