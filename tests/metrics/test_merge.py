"""Many workers' families as one."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mobius_infra.metrics._family import Buckets, Exemplar, Family, Labels, Quantiles, Series
from mobius_infra.metrics._merge import Part, lasting, merge
from mobius_infra.metrics._sketch import Sketch
from tests.metrics.families import KIND, counter, gauge, histogram, info, summary


def merged(*parts: tuple[str | None, list[Family]]) -> list[Family]:
    found = merge(Part(worker, families) for worker, families in parts)
    assert not found.clashes
    return found.families


def test_counters_of_the_living_and_the_dead_add_up() -> None:
    [family] = merged(("0", [counter(3)]), ("1", [counter(2**60)]), (None, [counter(4)]))
    assert family == counter(2**60 + 7)
    assert isinstance(family.series[0].value, int)


def test_gauges_are_the_living_workers_own() -> None:
    [family] = merged(("0", [gauge(3)]), ("1", [gauge(4, KIND)]), (None, [gauge(5)]))
    assert {series.labels: series.value for series in family.series} == {
        (("worker", "0"),): 3,
        (*KIND, ("worker", "1")): 4,
    }


def test_a_label_named_worker_is_told_from_ours() -> None:
    [family] = merged(("0", [gauge(1, (("worker", "bee"),))]))
    assert family.series[0].labels == (("exported_worker", "bee"), ("worker", "0"))


def test_facts_are_told_once_while_one_lives_who_tells_them() -> None:
    old, new = info(("version", "1")), info(("version", "2"))
    [family] = merged(("0", [old]), ("1", [new]), ("2", [new]), (None, [info(("version", "0"))]))
    assert family.series == (*old.series, *new.series)


@given(st.lists(st.lists(st.integers(-5, 5), max_size=6), min_size=1, max_size=5))
def test_histograms_and_summaries_are_as_if_one_worker_had_seen_all(seen: list[list[int]]) -> None:
    parts = [("0", [histogram(*each), summary(*each)]) for each in seen]
    values = [value for each in seen for value in each]
    assert merged(*parts) == [histogram(*values), summary(*values)]


def test_buckets_of_another_version_lose_no_observation() -> None:
    old = histogram(0.4, 3, 30, bounds=(0.5, 5.0, 10.0, math.inf))
    new = histogram(0.2, 7, bounds=(1.0, 6.0, math.inf))
    [family] = merged(("0", [new]), (None, [old]))
    assert family.series[0].value == Buckets((1.0, 6.0, math.inf), (2, 1, 2), 40.6)


def test_the_newest_exemplar_stands_for_a_bucket() -> None:
    def at(*exemplars: Exemplar | None) -> Family:
        value = Buckets((1.0, math.inf), (1, 1), 3, exemplars)
        return Family("h", "histogram", "", (Series((), value),))

    old, new, other = (Exemplar((), value, at) for value, at in ((0.5, 1), (0.7, 2), (9, 1)))
    for parts in ([at(old, None), at(new, other), at()], [at(), at(new, other), at(old, None)]):
        [family] = merged(*((None, [each]) for each in parts))
        value = family.series[0].value
        assert isinstance(value, Buckets)
        assert value.exemplars == (new, other)


def test_summaries_without_sketches_keep_count_and_sum() -> None:
    plain = Family("size_bytes", "summary", "", (Series((), Quantiles(2, 3.0, ((0.5, 1.5),))),))
    [family] = merged(("0", [summary(1, 2)]), ("1", [plain]))
    assert family.series[0].value == Quantiles(4, 6.0)


def test_summaries_of_another_error_keep_count_and_sum() -> None:
    sketch = Sketch(0.05)
    sketch.add(7)
    other = Quantiles(1, 7.0, ((0.5, 7.0),), sketch)
    plain = Family("size_bytes", "summary", "", (Series((), other),))
    [family] = merged(("0", [summary(1, 2)]), ("1", [plain]))
    assert family.series[0].value == Quantiles(3, 10.0)


def test_what_began_first_says_when_all_began() -> None:
    def since(created: float | None) -> Family:
        return Family("orders", "counter", "", (Series((), 1, created),))

    [family] = merged(*((None, [since(each)]) for each in (None, 5.0, 3.0, None)))
    assert family.series == (Series((), 4, 3.0),)


def test_a_name_that_means_two_things_is_left_out_of_the_later() -> None:
    other = Family("orders", "gauge", "", (Series((), 9),))
    found = merge([Part("0", [counter(1)]), Part("1", [other, gauge(1)])])
    assert [family.name for family in found.families] == ["orders", "waiting"]
    assert found.families[0] == counter(1)
    assert found.clashes == ["orders"]


def test_labels_in_another_order_are_the_same_series() -> None:
    one: Labels = (("a", "1"), ("b", "2"))
    [family] = merged(("0", [counter(1, one)]), ("1", [counter(2, one[::-1])]))
    assert family.series == (Series(one, 3),)


def test_what_lasts_is_bounded_and_loses_no_total() -> None:
    series = tuple(
        Series((("service", "bot"), ("user", str(user)), ("kind", "x")), 1) for user in range(10)
    )
    [family] = lasting([Family("orders", "counter", "", series), gauge(1), info()], most=4)
    rest = Series((("service", "bot"), ("user", "other"), ("kind", "x")), 7)
    assert family.series == (*series[:3], rest)
    [again] = lasting([family], most=4)
    assert again == family


@pytest.mark.parametrize("most", [1, 2])
def test_a_small_bound_is_kept(most: int) -> None:
    series = tuple(Series((("user", str(user)),), 1) for user in range(5))
    [family] = lasting([Family("orders", "counter", "", series)], most=most)
    assert len(family.series) == most
    assert sum(each.value for each in family.series) == 5  # type: ignore[misc]


def test_names_that_only_a_format_makes_the_same_are_not_both_exported() -> None:
    other = Family("orders_total", "gauge", "", (Series((), 9),))
    found = merge([Part("0", [counter(1)]), Part("1", [other])])
    assert (found.families, found.clashes) == ([counter(1)], ["orders_total"])
