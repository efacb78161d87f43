"""What a rejected call gets."""

from mobius_infra.core import Rejected


class CircuitOpenError(Rejected):
    """The circuit lets no call through now. A fresh one for each rejection.

    Attributes:
        name: the breaker's name.
        key: of the circuit, where there is one for each key.
        state: `open`, `half_open` (all probes are out), `recovering` (not this call) or `isolated`.
        retry_after: seconds until a call may be let through; None if nobody knows.
    """

    def __init__(
        self, name: str, state: str, retry_after: float | None, key: str | None = None
    ) -> None:
        # Not the base's constructor: it takes a message, and to write one costs more than to raise.
        self.name = name
        self.key = key
        self.state = state
        self.retry_after = retry_after

    def __str__(self) -> str:
        where = "" if self.key is None else f" for {self.key!r}"
        when = "" if self.retry_after is None else f"; try again in {self.retry_after:.3g} s"
        return f"circuit {self.name!r}{where} is {self.state.replace('_', '-')}{when}"
