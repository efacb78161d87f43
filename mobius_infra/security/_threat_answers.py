"""What a threat detector answers when asked: standings, explanations, numbers."""

from collections.abc import Mapping
from dataclasses import dataclass

from mobius_infra.core import Stats, counter, gauge, state
from mobius_infra.security._blocklist_steps import FOREVER, Block
from mobius_infra.security._risk import Answer
from mobius_infra.security._threat_events import Evidence


@dataclass(frozen=True, slots=True)
class Standing:
    """How whoever makes a call stands.

    Attributes:
        answer: the severest that one of its subjects gets.
        subject: which one; None if there is nothing against any.
        risk: that subject's.
        block: the block that is on it.
        retry_after: seconds until the block ends; None: there is none, or it has no end.
    """

    answer: Answer = "observe"
    subject: str | None = None
    risk: float = 0.0
    block: Block | None = None
    retry_after: float | None = None

    @property
    def refused(self) -> bool:
        """Whether it is blocked."""
        return self.block is not None


@dataclass(frozen=True, slots=True)
class Explanation:
    """What is known of a subject, and what is done about it.

    Attributes:
        subject: its name.
        answer: what it gets.
        risk: what its offences come to, after decay.
        allowed: why it is never refused; None if it may be.
        block: its last block, also one that has ended; or the range's that holds it.
        blocked_for: seconds until the block ends; 0 if none lasts, infinity if it has no end.
        evidence: its last offences in this process, the oldest first.
        levels: of its buckets that are not empty, by scenario.
    """

    subject: str
    answer: Answer
    risk: float
    allowed: str | None
    block: Block | None
    blocked_for: float
    evidence: tuple[Evidence, ...]
    levels: Mapping[str, float]

    def __str__(self) -> str:
        said = f"{self.subject} {self.answer}, risk {self.risk:.0f}"
        if self.allowed is not None:
            said += f"; never refused: {self.allowed}"
        if self.block is not None and self.blocked_for:
            ends = "" if self.blocked_for == FOREVER else f" for {self.blocked_for:.0f} s"
            said += f"; blocked{ends} as {self.block.subject}: {self.block.reason}"
        for each in self.evidence:
            said += f"; {each.scenario} +{each.risk:g}"
        return said


@dataclass(frozen=True, slots=True)
class ThreatStats(Stats):
    """Numbers of a `ThreatDetector`."""

    reported: int = counter("Activities reported")
    spared: int = counter("Of those: by who is never refused")
    ignored: int = counter("Of those: by who is blocked")
    decisions: Mapping[str, int] = counter("Overflows, by the answer chosen", label="answer")
    scenarios: Mapping[str, int] = counter("Overflows, by scenario", label="scenario")
    refused: Mapping[str, int] = counter("Calls that were not made, by answer", label="answer")
    errors: int = counter("Callers of whom it could not be told who they are")
    forgotten: int = counter("Subjects forgotten to make room")
    subjects: int = gauge("Subjects watched in this process")
    blocks: int = gauge("Blocks known, ended ones that are remembered included")
    blocklist: str = state("Where blocks are: `local`, `shared`, `lost` or `closed`")
