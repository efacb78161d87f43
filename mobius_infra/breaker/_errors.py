"""What a rejected call gets."""

from mobius_infra.core import Rejected


class CircuitOpenError(Rejected):
    """The circuit lets no call through now. A fresh one for each rejection.

    Attributes:
        name: the breaker's name.
        state: `open`, `half_open` (all probes are out) or `isolated`.
        retry_after: seconds until a call may be let through; None if nobody knows.
    """

    def __init__(self, name: str, state: str, retry_after: float | None) -> None:
        when = "" if retry_after is None else f"; try again in {retry_after:.3g} s"
        super().__init__(
            f"circuit {name!r} is {state.replace('_', '-')}{when}",
            name=name,
            retry_after=retry_after,
        )
        self.state = state
