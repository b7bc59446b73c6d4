"""Bodies that are nearly right harm nobody; `make fuzz` tries a hundred times as many."""

from __future__ import annotations

from pathlib import Path

import pytest

from fuzz import run
from fuzz.run import Found, Piece, run_piece
from fuzz.slices import read_group


@pytest.mark.fuzz
@pytest.mark.timeout(900)
def test_mutated_bodies_crash_nothing_and_their_neighbours_are_stored(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bodies = ["--otlp", "10000", "--remote-write", "2500", "--slice", "2500"]

    code = run.main([*bodies, "--findings", str(tmp_path / "found")])

    said = capsys.readouterr().out
    assert code == 0, said
    assert "0 findings" in said
    assert not (tmp_path / "found").exists()


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ("RAISES", "ZeroDivisionError: by zero"),
        ("DIES", "ended with -6"),
        ("LOSES", "rows of honest bodies"),
        ("HANGS", "it hung"),
    ],
)
def test_a_fault_is_found_and_so_is_the_body_that_brings_it_on(
    fault: str, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "_HANGS_S", 10)

    found = run_piece(Piece("otlp", f"fuzz.broken:{fault}", seed=1, count=5000))

    assert isinstance(found, Found)
    assert says in found.what
    (body,) = found.bodies
    assert len(body) % 50 == 7


def test_what_was_found_can_be_replayed(tmp_path: Path) -> None:
    pieces = [Piece("otlp", "fuzz.broken:DIES", seed=1, count=5000)]

    assert run.run(pieces, jobs=1, findings=tmp_path) == 1

    (path,) = tmp_path.iterdir()
    assert len(read_group(path)) == 1
