"""tenacity's `stop` and `wait` strategies. The one module that imports it.

Its loop is not used: one shared `AsyncRetrying` mixes up the attempts of concurrent calls. The
strategies are functions of a call's state, which is made here once a first attempt has failed.
"""

from collections.abc import Callable
from typing import Any

from tenacity import AsyncRetrying, Future, RetryCallState

CallState = RetryCallState
Stop = Callable[[CallState], bool]
Wait = Callable[[CallState], float]


# Any, in this module: arguments and results of whatever function is retried.
def call_state(
    func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], started: float
) -> RetryCallState:
    """Return the state of a call that began at `started`, for strategies to look at."""
    state = RetryCallState(AsyncRetrying(), func, args, kwargs)
    state.start_time = started
    return state


def tell(
    state: RetryCallState, attempts: int, now: float, error: Exception | None, result: object
) -> None:
    """Say how the last attempt failed. Times are those of our clock, not of tenacity's."""
    outcome = Future(attempts)
    if error is None:
        outcome.set_result(result)
    else:
        outcome.set_exception(error)
    state.attempt_number = attempts
    state.outcome, state.outcome_timestamp = outcome, now
