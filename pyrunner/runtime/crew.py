"""Threads that score batches beside each other, for models that wait for others more than they compute.

Theory of operation. The loop's thread reads frames and hands each batch over; a thread of the crew scores it and sends its answer,
under the lock that guards the session and the order of bytes. The bridge gives a worker no more batches than it has threads, so that
none waits here for long. What a thread cannot deal with (a lost connection, an exception that is not the model's) is kept for the
loop, whose thread it would have met without a crew: it is woken, and raises it. Threads are daemons: a call of the model that never
returns keeps no process alive.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from typing import Generic, TypeVar

Task = TypeVar("Task")
Hand = TypeVar("Hand")


class Crew(Generic[Task, Hand]):
    """One thread for each of `hands`, what it alone works with. `work(task, hand)` is called on it; `wake` when something has changed.

    `give`, `busy` and `check` are for one thread, that of the loop.
    """

    def __init__(
        self, hands: Sequence[Hand], work: Callable[[Task, Hand], None], wake: Callable[[], None]
    ) -> None:
        self._hands, self._work, self._wake = hands, work, wake
        self._tasks: SimpleQueue[Task] = SimpleQueue()
        self._lock = threading.Lock()
        self._open = 0  # given and not finished
        self._failure: BaseException | None = None
        self._started = False
        self.quiet_since = time.monotonic()  # when the last task was finished

    @property
    def size(self) -> int:
        return len(self._hands)

    def give(self, task: Task) -> None:
        """Have a task done by the next thread that is free."""
        if not self._started:
            self._start()
        with self._lock:
            self._open += 1
        self._tasks.put(task)

    def busy(self) -> bool:
        """Whether anything that was given is not finished."""
        with self._lock:
            return self._open > 0

    def check(self) -> None:
        """Raise what a thread could not deal with, once."""
        with self._lock:
            failure, self._failure = self._failure, None
        if failure is not None:
            raise failure

    def _start(self) -> None:
        self._started = True
        for number, hand in enumerate(self._hands):
            threading.Thread(
                target=self._run, args=(hand,), name=f"ds-runner-score-{number}", daemon=True
            ).start()

    def _run(self, hand: Hand) -> None:
        while True:
            self._do(self._tasks.get(), hand)  # in a call of its own: nothing keeps the task alive afterwards
            self._wake()

    def _do(self, task: Task, hand: Hand) -> None:
        failure: BaseException | None = None
        try:
            self._work(task, hand)
        except (
            BaseException
        ) as error:  # the loop's thread raises it: SystemExit, too, ends the process as ever
            failure = error
        with self._lock:
            self._open -= 1
            self.quiet_since = time.monotonic()
            self._failure = self._failure or failure
