"""The numbers of an access control."""

from dataclasses import dataclass

from mobius_infra.core import Stats, counter, gauge, state


@dataclass(frozen=True, slots=True)
class AccessStats(Stats):
    """What an access control counted."""

    allowed: int = counter("Decisions that let through")
    denied: int = counter("Decisions that did not, errors included")
    errors: int = counter("Decisions that could not be made, and were therefore a no")
    reloads: int = counter("Policies that took another's place")
    refused: int = counter("Policies of a file that were wrong, and did not")
    subjects: int = gauge("Subjects that have roles of their own")
    grants: str = state("Whether what was granted is known: `known`, `stale` or `local`")
