"""What can go wrong between a bot and the Bot API, in a small vocabulary."""

from collections import defaultdict, deque
from dataclasses import dataclass


class ApiError(Exception):
    """What the Bot API answers when it refuses.

    Attributes:
        code: HTTP status and `error_code`.
        description: as the Bot API words it.
        retry_after: seconds, with a 429.
    """

    def __init__(self, code: int, description: str, retry_after: int | None = None) -> None:
        super().__init__(f"{code}: {description}")
        self.code = code
        self.description = description
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True)
class Fault:
    """One scripted failure. Make it by one of the class methods.

    Attributes:
        error: what is answered instead; None: the call is carried out.
        delay: seconds before anything else.
        html: answer as a gateway would, not as the Bot API does.
        drop: close the connection without an answer.
    """

    error: ApiError | None = None
    delay: float = 0.0
    html: bool = False
    drop: bool = False

    @classmethod
    def too_many(cls, retry_after: int) -> "Fault":
        """Answer 429: ask again after so many seconds."""
        text = f"Too Many Requests: retry after {retry_after}"
        return cls(ApiError(429, text, retry_after))

    @classmethod
    def server_error(cls, code: int = 500) -> "Fault":
        """Answer 500 as the Bot API does, or 502 and 504 as its gateways do, in HTML."""
        words = {500: "Internal Server Error", 502: "Bad Gateway", 504: "Gateway Timeout"}
        return cls(ApiError(code, words.get(code, "Server Error")), html=code != 500)

    @classmethod
    def slow(cls, seconds: float) -> "Fault":
        """Carry the call out, later."""
        return cls(delay=seconds)

    @classmethod
    def dropped(cls) -> "Fault":
        """Close the connection without an answer."""
        return cls(drop=True)


class FaultScript:
    """Faults by method, used up one a call, first in first out."""

    def __init__(self) -> None:
        self._queued: dict[str, deque[Fault]] = defaultdict(deque)

    def add(self, method: str, *faults: Fault) -> None:
        """Let the next calls of `method` meet these faults, in this order."""
        self._queued[method.lower()].extend(faults)

    def next(self, method: str) -> Fault | None:
        """Take the fault that this call meets."""
        queued = self._queued[method.lower()]
        return queued.popleft() if queued else None

    def clear(self) -> None:
        """Let everything go well again."""
        self._queued.clear()
