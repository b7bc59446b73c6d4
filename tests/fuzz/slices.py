"""One slice of a fuzzing run, in a process of its own.

    python -m fuzz.slices TARGET SEED COUNT FOLDER [--replay FILE]

Bodies go through a decoder in groups, honest ones among them. What is found is in FOLDER/finding,
and makes the exit code 1; the group in hand is in FOLDER/group, for when the process dies of it.
With --replay FILE the bodies in FILE are the only group.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from batch_rows import rows_of
from fuzz.mutations import Mutator
from fuzz.target import Target, load
from novacron_collector.otlp.decoded import Decoded, Outcome
from novacron_collector.wal.batches import pack
from novacron_store.telemetry.batch import Batch

_LARGEST_GROUP = 12
_SLOWEST_S = 5.0  # of CPU, for a group of bodies of at most 256 KiB each
_PEAK_MB = 1500
_HARD_LIMIT = 8 * 2**30  # of addresses: a process that is over it dies, and not the machine

Rows = dict[str, list[str]]


class Finding(Exception):
    """What must not happen, has."""


@dataclass
class Tally:
    bodies: int = 0
    groups: int = 0
    stored: int = 0  # bodies of which all points were stored
    partly: int = 0
    refused: int = 0
    points: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    cpu_s: float = 0
    slowest_s: float = 0
    peak_mb: float = 0

    def add(self, outcomes: Sequence[Outcome], cpu_s: float) -> None:
        self.groups += 1
        self.bodies += len(outcomes)
        self.cpu_s += cpu_s
        self.slowest_s = max(self.slowest_s, cpu_s)
        self.peak_mb = peak_mb()
        for outcome in outcomes:
            self.refused += bool(outcome.error)
            self.partly += bool(outcome.rejected)
            self.stored += not (outcome.error or outcome.rejected)
            self.points += outcome.points
            self.rejected.update({reason.name: n for reason, n in outcome.rejected.items()})


class Slice:
    """A decoder that has met the honest bodies once, and is to treat them alike for ever."""

    def __init__(self, target: Target, now_s: float) -> None:
        self._decode = target.start()
        self._now_s = now_s
        self._honest = target.honest(now_s)
        self.tally = Tally()
        alone = self._decode(self._honest, now_s)
        self._outcomes = alone.outcomes
        self._rows = honest_rows(alone)
        if any(outcome.error or outcome.rejected for outcome in self._outcomes):
            raise Finding(f"the honest bodies are not stored: {self._outcomes}")

    def check(self, mutated: Sequence[bytes], dice: random.Random) -> None:
        """
        Raises:
            Finding: the group did harm.
        """
        bodies = list(mutated)
        places = sorted(dice.sample(range(len(bodies) + len(self._honest)), len(self._honest)))
        for place, body in zip(places, self._honest, strict=True):
            bodies.insert(place, body)
        began = time.process_time()
        try:
            decoded = self._decode(bodies, self._now_s)
        except Exception as err:
            raise Finding(f"decoding raised {type(err).__name__}: {err}") from err
        cpu_s = time.process_time() - began
        self._check_neighbours(decoded, places)
        check_tables(decoded)
        if cpu_s > _SLOWEST_S:
            raise Finding(f"a group of {sum(map(len, bodies))} bytes took {cpu_s:.1f} s of CPU")
        if peak_mb() > _PEAK_MB:
            raise Finding(f"it took {peak_mb():.0f} MB of memory")
        told = [o for at, o in enumerate(decoded.outcomes) if at not in places]
        self.tally.add(told, cpu_s)

    def _check_neighbours(self, decoded: Decoded, places: Sequence[int]) -> None:
        outcomes = [decoded.outcomes[place] for place in places]
        if outcomes != self._outcomes:
            raise Finding(f"honest bodies were told {outcomes}, alone {self._outcomes}")
        rows = honest_rows(decoded)
        if rows != self._rows:
            raise Finding(f"rows of honest bodies are {rows}, alone {self._rows}")


def honest_rows(decoded: Decoded) -> Rows:
    """Points and exemplars of honest entities."""
    found = {}
    for name, rows in rows_of(_honest(decoded.batch)).items():
        if "ts" in rows[0]:
            found[name] = sorted(map(repr, rows))
    return found


def _honest(batch: Batch) -> Batch:
    by_entity = {name: t for name, t in batch.tables.items() if "entity" in t.column_names}
    return Batch(
        {
            name: table.filter(pc.starts_with(table["entity"].cast(pa.string()), "honest"))
            for name, table in by_entity.items()
        }
    )


def check_tables(decoded: Decoded) -> None:
    """What comes out can be logged, and says of itself the truth."""
    for name, table in decoded.batch.tables.items():
        try:
            table.validate(full=True)
        except pa.ArrowInvalid as err:
            raise Finding(f"table {name} is not valid: {err}") from err
    pack(decoded.batch, [])


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 10**6


def write_group(path: Path, bodies: Sequence[bytes]) -> None:
    path.write_bytes(b"".join(len(body).to_bytes(4, "little") + body for body in bodies))


def read_group(path: Path) -> list[bytes]:
    content, bodies, at = path.read_bytes(), [], 0
    while at < len(content):
        end = at + 4 + int.from_bytes(content[at : at + 4], "little")
        bodies.append(content[at + 4 : end])
        at = end
    return bodies


def run(target: Target, seed: int, count: int, folder: Path) -> Tally:
    """
    Raises:
        Finding: with the group in folder/group.
    """
    dice, now_s = random.Random(seed), time.time()
    mutator = Mutator(target.seeds(now_s), target.descriptor, dice)
    piece = Slice(target, now_s)
    while piece.tally.bodies < count:
        group = [mutator.body() for _ in range(dice.randint(1, _LARGEST_GROUP))]
        write_group(folder / "group", group)
        piece.check(group, dice)
    return piece.tally


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("target")
    parser.add_argument("seed", type=int)
    parser.add_argument("count", type=int)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--replay", type=Path)
    args = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_AS, (_HARD_LIMIT, _HARD_LIMIT))
    try:
        if args.replay:
            piece = Slice(load(args.target), time.time())
            piece.check(read_group(args.replay), random.Random(args.seed))
            tally = piece.tally
        else:
            tally = run(load(args.target), args.seed, args.count, args.folder)
    except Finding as err:
        (args.folder / "finding").write_text(str(err))
        return 1
    (args.folder / "tally").write_text(json.dumps(vars(tally)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
