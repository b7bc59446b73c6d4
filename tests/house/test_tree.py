"""The tree itself: documented commands exist, nothing tells where it was written."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPTS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["scripts"]
DOCUMENTS = sorted(p for p in (*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")))
# Written in pieces, so that this file does not find itself.
TELLTALES = ["pypi" + ".org", "pythonhosted" + ".org", "registry.npm" + "js", "/work" + "/main",
             "/work" + "/shared", "/home" + "/", "../" + "shared"]  # fmt: skip


def tracked() -> list[Path]:
    listed = subprocess.run(("git", "ls-files", "-z"), cwd=ROOT, capture_output=True, check=True)
    paths = [ROOT / name for name in listed.stdout.decode().split("\0") if name]
    return [path for path in paths if path.is_file()]


def targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_make_target_a_document_names_exists(document: Path) -> None:
    named = set(re.findall(r"(?m)(?:^|`|sudo )make ([a-z][a-z-]+)", document.read_text("utf-8")))

    assert named - targets() == set()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_to_a_file_leads_somewhere(document: Path) -> None:
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", document.read_text("utf-8"))

    assert [link for link in links if not (document.parent / link).exists()] == []


def test_nothing_in_the_tree_names_a_registry_or_a_folder_of_whoever_wrote_it() -> None:
    found = [
        f"{path.relative_to(ROOT)}: {telltale}"
        for path in tracked()
        for telltale in TELLTALES
        if telltale.encode() in path.read_bytes()
    ]

    assert found == []


@pytest.mark.parametrize("script", sorted(SCRIPTS))
def test_every_program_explains_itself(script: str) -> None:
    program = Path(sys.executable).with_name(script)
    done = subprocess.run((program, "--help"), capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"usage: {script}")
