"""What keeps copies of identities and tokens up to date, and certificates too, beside all else."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from novacron_contract.errors import NovaCronError

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Task:
    """`what` is for the log."""

    what: str
    every_s: float
    work: Callable[[], Awaitable[object]]


async def keep(tasks: Sequence[Task]) -> None:
    """Until it is cancelled. One that fails is told once, and tried again."""
    await asyncio.gather(*(_repeat(task) for task in tasks))


def in_thread(work: Callable[[], object]) -> Callable[[], Awaitable[object]]:
    return lambda: asyncio.to_thread(work)


async def _repeat(task: Task) -> None:
    problem = ""
    while True:
        try:
            await task.work()
            problem = ""
        except NovaCronError as err:
            if str(err) != problem:
                log.warning("%s: %s; trying again", task.what, err)
            problem = str(err)
        except Exception:  # the outermost edge of this task: it goes on
            log.exception("%s failed; trying again", task.what)
        await asyncio.sleep(task.every_s)
