"""One destination: a thread that sends what waits in its queue, oldest first, until it is answered.

After a crash a segment may be sent again from its start: a sample is (series, time), so that a
receiver that counts on it twice is the exception, and losing it would be worse.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable

from novacron_collector.forward.batches import Batch, batches
from novacron_collector.forward.filter import Filter
from novacron_collector.forward.queue import Queue, Taken
from novacron_collector.forward.state import DestinationState, Sent
from novacron_otlp.answer import Accepted, Answer, Doubtful, Later, TooLarge
from novacron_otlp.connection import Connection, Transport

log = logging.getLogger(__name__)

_IDLE_S = 0.5
_LAST_CHANCE_S = 1.0
_LEAST_ANSWER_S = 0.1
_LONGEST_WAIT_S = 60.0
_TRIES = 5  # of what may have failed by accident
_JOINED = 2 * 2**20  # bytes of small requests that are sent as one
_LEAST_JOINED = 64 * 1024
_COMPLAINTS = 100  # different reasons that are logged


class Sender:
    def __init__(
        self,
        name: str,
        queue: Queue,
        keep: Filter,
        open_transport: Callable[[], Transport],
        first_wait_s: float = 1.0,
        files: Callable[[], object] = lambda: None,
    ) -> None:
        self.name = name
        self.queue = queue
        self._sent = Sent()
        self._problem = ""  # why nothing is taken, as long as nothing is
        self._failing_since = 0.0
        self._keep = keep
        self._connection = Connection(open_transport, files)
        self._first_wait_s = first_wait_s
        self._joined = _JOINED
        self._stopping = threading.Event()
        self._deadline = float("inf")
        self._complaints: set[str] = set()
        self._thread = threading.Thread(target=self._run, name=f"forward-{name}", daemon=True)

    def counters(self) -> dict[str, float]:
        """`dropped`: points that are not at the destination and will not be."""
        waiting = self.queue.state()
        return {
            "requests": self._sent.requests,
            "points": self._sent.points,
            "failed": self._sent.failed,
            "dropped": self._sent.dropped + self.queue.lost.points,
            "waiting_bytes": waiting.bytes,
            "oldest_s": waiting.oldest_s,
            "set_aside": waiting.set_aside,
        }

    def state(self) -> DestinationState:
        return DestinationState(
            name=self.name,
            problem=self._problem,
            failing_s=self._failing_s,
            dropped=self._sent.dropped,
            reason=self._sent.reason,
            lost=self.queue.lost,
        )

    @property
    def _failing_s(self) -> float:
        """How long nothing was taken."""
        return time.monotonic() - self._failing_since if self._problem else 0.0

    def start(self) -> None:
        self._thread.start()

    def stop(self, deadline: float) -> None:
        """Send what is left until then (monotonic); what fails waits for the next start. Who took
        nothing lately is not waited for."""
        soon = time.monotonic() + _LAST_CHANCE_S
        self._deadline = min(deadline, soon) if self._problem else deadline
        self._stopping.set()
        self.queue.seal_now()

    def join(self) -> None:
        """After `stop`. A destination that hangs is left hanging."""
        self._thread.join(max(0.0, self._deadline - time.monotonic()))

    def _run(self) -> None:
        while not self._is_over():
            try:
                taken = self.queue.take(_IDLE_S)
                if taken is not None:
                    self._try_to_deliver(taken)
                elif self._stopping.is_set():
                    break
            except Exception:  # the outermost edge of this destination: its thread goes on
                log.exception("forwarding to %s failed", self.name)
                self._stopping.wait(_LONGEST_WAIT_S)
        self._connection.close()

    def _is_over(self) -> bool:
        return time.monotonic() >= self._deadline

    def _try_to_deliver(self, taken: Taken) -> None:
        try:
            self._deliver(taken)
        except Exception as err:  # the outermost edge of one segment: it is not to stop the others
            log.exception("forwarding to %s: a segment cannot be sent", self.name)
            self._sent.failed += 1
            self.queue.give_up(taken, f"it cannot be sent: {err}")

    def _deliver(self, taken: Taken) -> None:
        try:
            for batch in batches(taken.items(), self._keep, self._joined):
                for item in batch.unreadable:
                    self._drop(item.points, "protobuf does not read it")
                if not self._send(batch, taken):
                    return
                taken.answered += batch.taken
        except OSError as err:
            self.queue.give_up(taken, f"the disk does not give it back: {err.strerror}")
        else:
            self.queue.finish(taken)

    def _send(self, batch: Batch, taken: Taken) -> bool:
        """Everything in it was answered; False: the queue has dropped it, or we are to stop."""
        waiting = [(batch, _TRIES)] if batch.items else []
        while waiting:
            one, most = waiting[0]
            answer = self._answer(one, taken, most)
            if answer is None:
                return False
            waiting.pop(0)
            if isinstance(answer, Accepted):
                self._accepted(one, answer)
                continue
            parts = self._parts(one, answer)
            if not parts:
                self._drop(one.points, answer.reason)
            # The others of a request that it fails over are taken at once, or it is none of them.
            most = 1 if isinstance(answer, Doubtful) else most
            waiting[:0] = [(part, most) for part in parts]
        return True

    def _parts(self, batch: Batch, answer: Answer) -> list[Batch]:
        """What is too large goes in parts; of several requests one may be the reason."""
        if isinstance(answer, TooLarge):
            self._joined = max(_LEAST_JOINED, min(self._joined, len(batch.body) // 2))
        elif len(batch.items) == 1:
            return []
        return batch.parts()

    def _answer(self, batch: Batch, taken: Taken, most: int) -> Answer | None:
        """The final one, after `most` doubtful ones; None when there is none, because we are to
        stop or it was dropped."""
        wait, tries, body = self._first_wait_s, 0, batch.body
        while self.queue.holds(taken) and not self._is_over():
            left = max(_LEAST_ANSWER_S, self._deadline - time.monotonic())
            answer = self._connection.send(body, within=left)
            tries += isinstance(answer, Doubtful)
            if not isinstance(answer, Later | Doubtful) or tries >= most:
                self._note_answer()
                return answer
            self._note_failure(answer.reason)
            if self._stopping.is_set():
                self._deadline = 0.0
                return None
            after = answer.after_s if isinstance(answer, Later) else 0.0
            # Jitter: many that lost one destination together must not come back together.
            self._stopping.wait(max(wait * random.uniform(0.5, 1.0), after))
            wait = min(2 * wait, _LONGEST_WAIT_S)
            self.queue.keep_bounds()
        return None

    # -- telling what happened -------------------------------------------------------------------

    def _accepted(self, batch: Batch, answer: Accepted) -> None:
        rejected = min(answer.rejected, batch.points)
        self._sent.requests += 1
        self._sent.points += batch.points - rejected
        if rejected:
            self._drop(rejected, answer.reason or "no reason given")

    def _drop(self, points: int, reason: str) -> None:
        """Counted always; said once for each reason."""
        self._sent.dropped += points
        self._sent.reason = reason
        if reason not in self._complaints and len(self._complaints) < _COMPLAINTS:
            self._complaints.add(reason)
            log.warning(
                "forwarding to %s: %d points are not taken: %s (said once; they are counted)",
                *(self.name, points, reason),
            )

    def _note_failure(self, reason: str) -> None:
        self._sent.failed += 1
        if not self._problem:
            self._failing_since = time.monotonic()
            log.warning("forwarding to %s: %s; trying again", self.name, reason)
        self._problem = reason

    def _note_answer(self) -> None:
        if self._problem:
            log.info("forwarding to %s: it answers after %.0f s", self.name, self._failing_s)
        self._problem = ""
