"""What is known of one subject."""

from mobius_infra.security._blocklist_names import Name
from mobius_infra.security._blocklist_table import BlockTable
from mobius_infra.security._risk import Answer, Grades, answer_to
from mobius_infra.security._threat_allowed import Allowed
from mobius_infra.security._threat_answers import Explanation
from mobius_infra.security._threat_book import Book


def explain(
    name: Name,
    *,
    book: Book,
    table: BlockTable,
    allowed: Allowed,
    grades: Grades,
    now: float,
    time: float,
) -> Explanation:
    """Put together what a detector knows; it changes nothing.

    Args:
        name: the subject's.
        book: has its track.
        table: has its block, or that of the range around it.
        allowed: says whether it is ever refused.
        grades: choose the answer.
        now: by the monotonic clock.
        time: that blocks are measured in.
    """
    track, why = book.get(name.text), allowed.why(name)
    risk = 0.0 if track is None else track.risk(now, grades)
    block = table.get(name.text)
    if name.by == "ip" and (block is None or block.until <= time):
        block = table.around(name) or block
    left = 0.0 if block is None else max(block.until - time, 0.0)
    answer: Answer = answer_to(risk, grades)
    if why is not None:
        answer = "observe"
    elif left:
        answer = "block"
    evidence = () if track is None else tuple(track.evidence)
    drops = {} if track is None else track.drops
    levels = {scenario: each.level for scenario, each in drops.items() if each.level}
    return Explanation(name.text, answer, risk, why, block, left, evidence, levels)
