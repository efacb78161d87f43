"""The step of one alert, by itself."""

from mobius_infra.health import AlertState, Phase, Timing, Verdict
from mobius_infra.health._alert_step import step

YES, NO, NONE = Verdict(True, "so"), Verdict(False, "not so"), Verdict(None, "who knows")


def run(timing: Timing, *looks: tuple[float, Verdict]) -> list[Phase]:
    state, phases = AlertState(), []
    for now, verdict in looks:
        state = step(state, now, verdict, timing)
        phases.append(state.phase)
    return phases


def test_it_fires_when_it_has_been_so_for_exactly_as_long_as_asked_and_ends_likewise() -> None:
    looks = ((0, YES), (9.9, YES), (10, YES), (20, NO), (29.9, NO), (30, NO))
    assert run(Timing(10, 10), *looks) == [
        "pending", "pending", "firing", "firing", "firing", "resolved",
    ]  # fmt: skip


def test_a_clock_that_goes_back_takes_nothing_away_and_gives_nothing() -> None:
    looks = ((100, YES), (108, YES), (50, YES), (51, YES), (52, YES))
    assert run(Timing(10), *looks) == ["pending"] * 4 + ["firing"]
    more = ((0, YES), (100, NO), (108, NO), (50, NO), (51, NO), (52, NO))
    assert run(Timing(0, 10), *more) == ["firing"] * 5 + ["resolved"]


def test_what_is_so_again_while_it_is_kept_begins_the_wait_anew() -> None:
    looks = ((0, YES), (1, NO), (9, NO), (10, YES), (11, NO), (20, NO), (21, NO))
    assert run(Timing(0, 10), *looks) == ["firing"] * 6 + ["resolved"]


def test_the_unknown_changes_no_phase() -> None:
    assert run(Timing(10), (0, NONE)) == ["inactive"]
    assert run(Timing(10), (0, YES), (10, NONE), (20, YES)) == ["pending"] * 3
    assert run(Timing(), (0, YES), (10, NONE)) == ["firing"] * 2
    assert run(Timing(), (0, YES), (1, NO), (10, NONE)) == ["firing", "resolved", "resolved"]
