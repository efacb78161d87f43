"""What a fleet tells: its numbers, and that its backend went away or came back."""

from dataclasses import dataclass

from mobius_infra.core import Event, Stats, counter, gauge, state


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetDegraded(Event):
    """The backend does not answer: circuits are this process's alone until it does.

    Attributes:
        reason: what the backend said.
    """

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetRestored(Event):
    """The backend answers again, and circuits are shared.

    Attributes:
        down_for: seconds that they were not.
    """

    down_for: float


@dataclass(frozen=True, slots=True)
class FleetStats(Stats):
    """A fleet's numbers, as this process sees them."""

    state: str = state("connected, degraded, or idle before it is entered")
    circuits: int = gauge("Circuits of this process")
    asked: int = counter("Steps that the backend was asked for")
    votes: int = counter("Votes that were cast")
    granted: int = counter("Probes that were granted to this process")
    refused: int = counter("Probes that were not, another being under way")
    late: int = counter("Votes and endings of probes that came too late to count")
    heard: int = counter("Messages of changes")
    foreign: int = counter("Messages that were not understood")
    lost: int = counter("Times that the backend was lost")
