"""What an agent that was killed had in hand, as its journal has it."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import tempfile
from collections.abc import Iterable
from pathlib import Path

from novacron_contract.commands import State, Verb

_NAME = "agent-id.journal.sqlite"


def in_hand(folder: Path, verbs: Iterable[Verb]) -> int:
    """How many commands of these verbs it was carrying out. Of a copy: looking may change it."""
    wanted = tuple(verbs)
    with tempfile.TemporaryDirectory() as place:
        for part in folder.glob(f"{_NAME}*"):
            if not part.name.endswith("-shm"):
                shutil.copy(part, place)
        copy = Path(place) / _NAME
        if not copy.exists():
            return 0
        marks = ", ".join("?" * len(wanted))
        query = f"SELECT count(*) FROM commands WHERE state = ? AND verb IN ({marks})"
        with contextlib.closing(sqlite3.connect(copy)) as db:
            try:
                return int(db.execute(query, (State.RUNNING, *wanted)).fetchone()[0])
            except sqlite3.OperationalError:  # killed before it had made its tables
                return 0
