"""What a rule is, and what it reports when it matches."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

# The severities of the OWASP Core Rule Set; five is enough to block by default.
CRITICAL, ERROR, WARNING, NOTICE = 5, 4, 3, 2


@dataclass(frozen=True, slots=True)
class Rule:
    """One thing that is looked for.

    Attributes:
        id: its name, `class.what`; stable, so that it can be allowed by name.
        attack: the class of attack that it speaks of.
        score: what it adds to the anomaly score of its class.
        why: what it saw, in words.
        level: the paranoia level from which on it counts, 1 to 4.
    """

    id: str
    attack: str
    score: int
    why: str
    level: int = 1


class Hit(NamedTuple):
    """A rule that matched, and where in the text that it was given."""

    rule: Rule
    start: int
    end: int


Finder = Callable[[str], Iterable[Hit]]


def mentions(text: str, words: Iterable[str]) -> bool:
    """Tell whether any of the words is in the text.

    What patterns cost is mostly looking in vain, and this looks ten times as fast.
    """
    for word in words:  # noqa: SIM110 - a generator takes twice the time
        if word in text:
            return True
    return False
