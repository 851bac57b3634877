"""Finding the culprit: a batch that failed as a whole is halved, in the same process, until the culprits fail alone.

k culprits among n events cost about 2 k log2(n) further calls. A half that passes is kept: its neighbours' trouble is not its own.

An exception that does not come again in either half is taken as a passing one. An answer of the wrong shape is not: when rows
were merged or reordered, both halves may look right by luck, so a part that fails while both halves of it pass is refused.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pyrunner.containers.base import BadAnswer
from pyrunner.scoring.failures import FAIL, Failure, exception_failure, surroundings_of

#: Outcomes of the events from .. to, or an exception.
Attempt = Callable[[int, int], list[Any]]


class Isolation:
    """One search. `describe` makes a sentence of a BadAnswer, with the method's place and name.

    `refuse` hears of parts that passed when halved and are refused all the same: nothing of theirs counts.
    """

    def __init__(
        self,
        attempt: Attempt,
        describe: Callable[[BadAnswer, list[int]], str],
        refuse: Callable[[int, int], None] = lambda low, high: None,
    ) -> None:
        self._attempt = attempt
        self._describe = describe
        self._refuse = refuse
        self._outcomes: list[Any] = []

    def solve(self, n: int, error: Exception) -> list[Any]:
        """Outcomes of all n events, of which the attempt at all at once ended with `error`.

        Raises Surroundings when any attempt shows that the surroundings have failed.
        """
        if n == 0:
            raise error
        self._outcomes = [None] * n
        self._search(0, n, error)
        if isinstance(error, BadAnswer):
            self._tell_of_the_whole(error)
        return self._outcomes

    def _search(self, low: int, high: int, error: Exception) -> bool:
        """Settle the events low..high, whose attempt ended with `error`. True if a culprit was found among them."""
        if surroundings := surroundings_of(error):
            raise surroundings from error
        systematic = isinstance(error, BadAnswer) and error.systematic
        if high - low == 1 or systematic:
            self._outcomes[low:high] = [self._failure(error)] * (high - low)
            return True
        middle = (low + high) // 2
        halves = [self._half(low, middle), self._half(middle, high)]
        if not any(halves) and isinstance(error, BadAnswer):
            self._refuse(low, high)
            self._outcomes[low:high] = [self._failure(error)] * (high - low)
            return True
        return any(halves)

    def _half(self, low: int, high: int) -> bool:
        try:
            self._outcomes[low:high] = self._attempt(low, high)
        except Exception as error:
            return self._search(low, high, error)
        return False

    def _failure(self, error: Exception) -> Failure:
        if isinstance(error, BadAnswer):
            return Failure(FAIL, error.code, self._describe(error, []))
        return exception_failure(error)

    def _tell_of_the_whole(self, error: BadAnswer) -> None:
        """`returned 254 rows for 256 events (rows 17, 99 missing)` says more than `returned 0 rows for 1 events`."""
        culprits = [
            row
            for row, outcome in enumerate(self._outcomes)
            if isinstance(outcome, Failure) and outcome.code == error.code
        ]
        failure = Failure(
            FAIL, error.code, self._describe(error, culprits if len(culprits) < len(self._outcomes) else [])
        )
        for row in culprits:
            self._outcomes[row] = failure
