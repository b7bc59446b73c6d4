"""Fuzz the decoders: python -m fuzz.run --otlp 1000000 --remote-write 200000

A process for each slice, so that one that dies or hangs is noticed and tells by which bodies. Ends
with a table; the exit code is 1 where anything was found, and the bodies are in --findings.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from pathlib import Path

from fuzz.slices import Tally, read_group, write_group

TARGETS = {"otlp": "fuzz.otlp:TARGET", "remote-write": "fuzz.remote_write:TARGET"}
_SLICE = 20_000
_HANGS_S = 120  # a group that takes longer: a thousand times what one takes on a slow machine
_KEPT = 4000  # characters of what a dying process said


@dataclass(frozen=True, slots=True)
class Found:
    """`bodies`: the group, or the one body of it that does it alone."""

    what: str
    bodies: list[bytes]


@dataclass(frozen=True, slots=True)
class Piece:
    """One slice: what it is of, the seed of its dice, and how many bodies."""

    name: str
    target: str
    seed: int
    count: int


def run_piece(piece: Piece) -> Tally | Found:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        what = _child(piece, folder)
        if not what:
            return _tally(folder / "tally")
        group = read_group(folder / "group") if (folder / "group").exists() else []
        return Found(what, _culprit(piece, group))


def _child(piece: Piece, folder: Path, replay: Path | None = None) -> str:
    """What is wrong with it; empty: nothing."""
    numbers = [str(piece.seed), str(piece.count), str(folder)]
    command = [sys.executable, "-X", "faulthandler", "-m", "fuzz.slices", piece.target, *numbers]
    command += ["--replay", str(replay)] if replay else []
    said = folder / "said"
    with (
        said.open("w") as log,
        subprocess.Popen(command, stdout=log, stderr=log, env=_environment()) as process,
    ):
        while process.poll() is None:
            try:
                process.wait(1)
            except subprocess.TimeoutExpired:
                if _silent_s(folder) > _HANGS_S:
                    process.kill()
                    return f"it hung for {_HANGS_S} s"
    if (folder / "finding").exists():
        return (folder / "finding").read_text()
    if process.returncode:
        return f"it ended with {process.returncode} and said:\n{said.read_text()[-_KEPT:]}"
    return ""


def _environment() -> dict[str, str]:
    """In which a child finds this package."""
    path = filter(None, (str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH")))
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path)}


def _silent_s(folder: Path) -> float:
    """Since it took a group, or since it was started."""
    newest = max(path.stat().st_mtime for path in (folder, *folder.iterdir()))
    return time.time() - newest


def _culprit(piece: Piece, group: list[bytes]) -> list[bytes]:
    for body in group:
        with tempfile.TemporaryDirectory() as name:
            alone = Path(name) / "alone"
            write_group(alone, [body])
            if _child(piece, Path(name), alone):
                return [body]
    return group


def _tally(path: Path) -> Tally:
    told = json.loads(path.read_text())
    return Tally(**{**told, "rejected": Counter(told["rejected"])})


def pieces(name: str, target: str, count: int, seed: int, size: int) -> Iterator[Piece]:
    for number, start in enumerate(range(0, count, size)):
        yield Piece(name, target, seed + number, min(size, count - start))


def add(total: Tally, part: Tally) -> None:
    for one in fields(Tally):
        old, new = getattr(total, one.name), getattr(part, one.name)
        worst = one.name in ("slowest_s", "peak_mb")
        setattr(total, one.name, max(old, new) if worst else old + new)


def run(every: Sequence[Piece], jobs: int, findings: Path) -> int:
    """How much was found."""
    began, totals, found = time.monotonic(), dict[str, Tally](), 0
    with ThreadPoolExecutor(jobs) as pool:
        for piece, result in zip(every, pool.map(run_piece, every), strict=True):
            total = totals.setdefault(piece.name, Tally())
            if isinstance(result, Found):
                found += 1
                _report(piece, result, findings)
            else:
                add(total, result)
            _say(
                f"{time.monotonic() - began:7.0f} s  {piece.name} {total.bodies:,} bodies, "
                f"{total.points:,} points stored, {found} findings"
            )
    _print_table(totals, found)
    return found


def _report(piece: Piece, result: Found, findings: Path) -> None:
    findings.mkdir(parents=True, exist_ok=True)
    path = findings / f"{piece.name}-{piece.seed}"
    write_group(path, result.bodies)
    again = f"python -m fuzz.slices {piece.target} {piece.seed} 1 /tmp --replay {path}"
    _say(f"FOUND {piece.name}, {len(result.bodies)} bodies: {result.what}\n  again: {again}")


def _print_table(totals: dict[str, Tally], found: int) -> None:
    _say(f"\n{'':<24}" + "".join(f"{name:>16}" for name in totals))
    for one in fields(Tally):
        values = [getattr(total, one.name) for total in totals.values()]
        if one.name != "rejected":
            _say(f"{one.name:<24}" + "".join(f"{value:>16,.3f}" for value in values))
    for reason in sorted({reason for total in totals.values() for reason in total.rejected}):
        counts = [total.rejected[reason] for total in totals.values()]
        _say(f"  {reason.lower():<22}" + "".join(f"{count:>16,}" for count in counts))
    _say(f"{found} findings")


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in TARGETS:
        parser.add_argument(f"--{name}", type=int, default=0, metavar="BODIES")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--slice", type=int, default=_SLICE, metavar="BODIES")
    parser.add_argument("--findings", type=Path, default=Path("fuzz-findings"))
    args = parser.parse_args(argv)
    every = [
        piece
        for name, target in TARGETS.items()
        for piece in pieces(
            name, target, getattr(args, name.replace("-", "_")), args.seed, args.slice
        )
    ]
    return 1 if run(every, args.jobs, args.findings) else 0


if __name__ == "__main__":
    sys.exit(main())
