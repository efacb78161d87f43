"""Different items are counted exactly while they are few, and within the stated error after."""

import math
import random
from contextlib import suppress
from statistics import fmean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mobius_infra.core import CodecError, ConfigurationError
from mobius_infra.metrics import Distinct
from mobius_infra.metrics._distinct import _estimate, _higher, _sigma, _tau, fingerprint

marks = st.lists(st.integers(0, 2**64 - 1) | st.integers(0, 40), max_size=60)


def of(given_marks: list[int], precision: int = 8) -> Distinct:
    """With precision 8 it is exact up to 16."""
    counted = Distinct(precision)
    for mark in given_marks:
        counted._add(mark)
    return counted


def test_fingerprints_are_the_same_in_every_process_and_for_every_way_to_write_an_id() -> None:
    # As `printf 7 | b2sum -l 64` says.
    assert fingerprint(7) == fingerprint("7") == fingerprint(b"7") == 0xE75017CACE788F82
    assert fingerprint(7, b"salt") == 0xB7BFD509AE71D0B4
    assert fingerprint("\ud800") != fingerprint("\ud801")  # no user's name breaks it


@given(st.sets(st.integers(), max_size=1024))
def test_few_are_counted_exactly(items: set[int]) -> None:
    counted = Distinct()
    for item in [*items, *items]:
        counted.add(item)
    assert (counted.count(), counted.error) == (len(items), 0)


def test_up_to_the_bound_it_is_exact_and_from_there_on_in_registers() -> None:
    counted = Distinct()
    for item in range(1024):
        counted.add(item)
    assert (counted.count(), counted.error) == (1024, 0)
    counted.add(1024)
    assert counted.error == pytest.approx(0.0081, abs=1e-4)
    assert counted.count() == pytest.approx(1025, rel=3 * counted.error)


@given(marks, marks, marks)
def test_merging_is_as_if_all_had_been_added_to_one(
    one: list[int], two: list[int], three: list[int]
) -> None:
    whole = of([*one, *two, *three]).to_bytes()
    left, right, last = of(one), of(two), of(three)
    left.merge(right)
    left.merge(last)
    assert left.to_bytes() == whole
    right.merge(last)
    first = of(one)
    right.merge(first)  # another order
    assert right.to_bytes() == whole
    right.merge(left)  # once more
    right.merge(right)
    assert right.to_bytes() == whole
    assert first.to_bytes() == of(one).to_bytes()  # what was merged is as it was


@given(st.data(), st.integers(1, 64))
def test_the_higher_of_each_pair_of_bytes(data: st.DataObject, size: int) -> None:
    low = st.lists(st.integers(0, 127), min_size=size, max_size=size)
    one, other = bytearray(data.draw(low)), bytearray(data.draw(low))
    assert _higher(one, other) == bytearray(map(max, one, other))


def test_the_error_is_the_one_that_is_stated_and_without_bias_at_every_size() -> None:
    """The first HyperLogLog read up to 14 % too much about 2.5 and 5 times its registers."""
    sizes, trials, bound = (17, 64, 256, 640, 1280, 5000), 300, 1.04 / math.sqrt(256)
    off: dict[int, list[float]] = {size: [] for size in sizes}
    for trial in range(trials):
        chance, counted = random.Random(trial), Distinct(8)
        for size in range(1, sizes[-1] + 1):
            counted._add(chance.getrandbits(64))
            if size in off:
                off[size].append(counted.count() / size - 1)
    for size, errors in off.items():
        deviation = math.sqrt(fmean(each**2 for each in errors))
        assert deviation < 1.15 * bound, size  # 300 trials tell it within 4 %
        # A whole number of 17 is off by up to half of one.
        assert abs(fmean(errors)) < 3.5 * bound / math.sqrt(trials) + 0.5 / size, size
        # Of 300 errors, 0.8 are over three deviations.
        assert sum(abs(each) > 3 * bound for each in errors) <= 6, size


def test_real_ids_are_within_three_standard_errors() -> None:
    counted = Distinct()
    for user in range(5_000_000_000, 5_000_060_000):
        counted.add(user)
    assert counted.count() == pytest.approx(60_000, rel=3 * counted.error)
    assert len(counted.to_bytes()) == 16_384 + 12


@pytest.mark.parametrize("power", [20, 34, 48, 60, 63])
def test_numbers_that_nobody_can_add_are_estimated_too(power: int) -> None:
    """Registers as so many items leave them: each is the greatest of n / m geometric numbers."""
    chance, size, bits = random.Random(power), 1 << 12, 52
    registers = bytearray(
        min(
            max(math.ceil(-math.log2(-math.expm1(math.log(chance.random()) * size / 2**power))), 0),
            bits + 1,
        )
        for _ in range(size)
    )
    assert _estimate(registers, bits) == pytest.approx(2**power, rel=3 * 1.04 / 64)


def test_sums_of_the_estimator_are_those_of_the_paper() -> None:
    for x in (0.0, 0.1, 0.5, 0.9, 0.999):
        sigma = x + sum(x ** (2**k) * 2.0 ** (k - 1) for k in range(1, 40))
        tau = (1 - x - sum((1 - x ** (2.0**-k)) ** 2 * 2.0**-k for k in range(1, 60))) / 3
        assert _sigma(x) == pytest.approx(sigma)
        assert _tau(x) == pytest.approx(tau if x else 0.0)
    assert (_sigma(1.0), _tau(1.0)) == (math.inf, 0.0)


@given(marks)
def test_what_is_stored_comes_back(items: list[int]) -> None:
    counted = of(items)
    again = Distinct.from_bytes(counted.to_bytes())
    assert again.to_bytes() == counted.to_bytes()
    again._add(99)
    counted._add(99)
    assert (again.count(), again.error) == (counted.count(), counted.error)


@given(st.sampled_from([3, 40]), st.data())
def test_damaged_bytes_are_refused_or_count_something(size: int, data: st.DataObject) -> None:
    chance = random.Random(size)
    whole = bytearray(of([chance.getrandbits(64) for _ in range(size)]).to_bytes())
    at = data.draw(st.integers(0, len(whole) - 1))
    if data.draw(st.booleans()):
        whole[at] ^= data.draw(st.integers(1, 255))
    else:
        del whole[at:]
    with suppress(CodecError):
        assert Distinct.from_bytes(bytes(whole)).count() >= 0


def test_what_could_not_have_been_written_is_refused() -> None:
    few = of([5, 6]).to_bytes()
    registers = bytearray(of(list(range(0, 2**64, 2**58))).to_bytes())
    registers[-1] = 66 - 8
    for data in (b"", few[:-8] + few[-16:-8], few[:12] + few[12:] * 9, few[:-3], registers):
        with pytest.raises(CodecError):
            Distinct.from_bytes(bytes(data))


def test_what_has_another_salt_or_precision_is_not_merged() -> None:
    salted = Distinct(salt=b"secret")
    salted.add(7)
    with pytest.raises(ConfigurationError, match="salt"):
        Distinct().merge(salted)
    with pytest.raises(ConfigurationError, match="precision"):
        Distinct().merge(Distinct(10))
    with pytest.raises(CodecError, match="another salt"):
        Distinct.from_bytes(salted.to_bytes())
    assert Distinct.from_bytes(salted.to_bytes(), salt=b"secret").count() == 1
    # Who has the bytes and not the salt can't try if a user is among them.
    assert fingerprint(7).to_bytes(8, "little") not in salted.to_bytes()


@pytest.mark.parametrize("precision", [7, 19, 14.0, True])
def test_what_makes_no_sense_is_refused(precision: int) -> None:
    with pytest.raises(ConfigurationError, match="precision"):
        Distinct(precision)
    with pytest.raises(ConfigurationError, match="salt is '65 bytes'"):
        Distinct(salt=b"x" * 65)


def test_it_says_what_it_is() -> None:
    assert repr(of([1, 2])) == "Distinct(count=2, error=0.00%)"
