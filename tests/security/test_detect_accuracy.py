"""What is found does not slide: payloads written by hand, from knowledge of the techniques.

The floors are a little below what was reached, so that a rule may be given up for a better one.
"""

from pathlib import Path

import pytest

from benchmarks.accuracy import PAYLOADS, by_hand, card, wilson
from mobius_infra.security import Detector


def missed(name: str) -> list[str]:
    screen = Detector("accuracy")
    lines = (PAYLOADS / f"{name}.txt").read_text("utf-8").splitlines()
    return [line for line in lines if not screen.check(line).suspicious]


@pytest.mark.parametrize(
    ("name", "at_most"), [("sqli", 2), ("xss", 1), ("path", 0), ("command", 5)]
)
def test_attacks_are_found(name: str, at_most: int) -> None:
    assert len(missed(name)) <= at_most, missed(name)


def test_ordinary_text_is_left_alone() -> None:
    screen = Detector("accuracy")
    lines = (PAYLOADS / "benign.txt").read_text("utf-8").splitlines()
    assert [line for line in lines if screen.check(line).suspicious] == []


def test_ordinary_text_of_many_lines_is_left_alone() -> None:
    text = (PAYLOADS / "benign.txt").read_text("utf-8")
    assert not Detector("accuracy").check(text).suspicious


def test_the_card_has_a_row_for_each_set_and_its_interval() -> None:
    table = card(by_hand())
    assert table.count("by hand") == 5
    assert "| by hand: benign | 39 | 0.00% | 0.00% to 8.97% |" in table


def test_the_card_in_the_docs_is_the_one_that_the_rules_earn() -> None:
    shown = (Path(__file__).parents[2] / "docs/explanation/screening.md").read_text("utf-8")
    assert card(by_hand()) in shown


def test_an_interval_of_wilson_holds_at_the_edges() -> None:
    assert wilson(0, 0) == (0.0, 1.0)
    assert wilson(10, 10)[1] == 1.0
    low, high = wilson(50, 100)
    assert (round(low, 4), round(high, 4)) == (0.4038, 0.5962)
