import asyncio
from collections.abc import Callable
from typing import Any, assert_type

import pytest

from mobius_infra.breaker import FallbackBegan, FallbackEnded, fallback
from mobius_infra.breaker._fallback import CALM
from mobius_infra.core import ConfigurationError, Event, Rejected, samples
from mobius_infra.testing import ManualClock


class UpstreamError(Exception):
    pass


def rejection() -> Rejected:
    return Rejected("full", name="bulkhead", retry_after=None)


def failing(error: BaseException) -> Callable[..., Any]:
    async def fail(*args: object, **kwargs: object) -> str:
        raise error

    return fail


async def answering(x: int = 1) -> str:
    return f"answer {x}"


async def test_rejections_are_answered_and_other_errors_are_not() -> None:
    safe = fallback(value="none")
    assert await safe(answering)(2) == "answer 2"
    assert await safe(failing(rejection()))() == "none"
    with pytest.raises(UpstreamError):
        await safe(failing(UpstreamError()))()
    assert safe.stats().answered == {"value": 1}


async def test_named_errors_are_answered_beside_rejections() -> None:
    safe = fallback(value="none", on=(UpstreamError, OSError))
    for error in (UpstreamError(), ConnectionError(), rejection()):
        assert await safe(failing(error))() == "none"
    with pytest.raises(LookupError):
        await safe(failing(LookupError()))()


async def test_a_function_may_say_which_errors_and_may_fail() -> None:
    def server_fault(error: Exception) -> bool:
        return int(error.args[0]) >= 500

    safe = fallback(value="none", on=server_fault)
    assert await safe(failing(UpstreamError(503)))() == "none"
    with pytest.raises(UpstreamError):
        await safe(failing(UpstreamError(404)))()
    with pytest.raises(UpstreamError, match="what"):  # not the predicate's own error
        await safe(failing(UpstreamError("what")))()


@pytest.mark.parametrize(
    "error",
    [
        asyncio.CancelledError(), KeyboardInterrupt(), SystemExit(), GeneratorExit(),
        BaseExceptionGroup("", [UpstreamError(), asyncio.CancelledError()]),
        ExceptionGroup("", [UpstreamError(), LookupError()]),
    ],
    ids=repr,
)  # fmt: skip
async def test_what_is_nobodys_to_answer_passes(error: BaseException) -> None:
    safe = fallback(value="none", on=UpstreamError)
    with pytest.raises(type(error)) as caught:
        await safe(failing(error))()
    assert caught.value is error


async def test_a_function_is_not_asked_about_what_is_nobodys_to_answer() -> None:
    safe = fallback(value="none", on=lambda error: True)
    for error in (asyncio.CancelledError(), KeyboardInterrupt(), SystemExit(), GeneratorExit()):
        with pytest.raises(type(error)):
            await safe(failing(error))()


async def test_a_group_of_answerable_errors_is_answered() -> None:
    error = ExceptionGroup("", [UpstreamError(), ExceptionGroup("", [rejection()])])
    assert await fallback(value="none", on=UpstreamError)(failing(error))() == "none"


async def test_a_task_that_is_being_cancelled_is_not_answered() -> None:
    safe = fallback(value="none", on=UpstreamError)

    @safe
    async def turns_cancellation_into_an_error() -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise UpstreamError from None
        return ""

    task = asyncio.create_task(turns_cancellation_into_an_error())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(UpstreamError):
        await task


async def test_functions_get_the_error_and_the_arguments_and_take_turns() -> None:
    asked: list[tuple[object, ...]] = []

    async def cached(error: Exception, x: int, *, y: int) -> int:
        asked.append(("cached", type(error), x, y))
        raise KeyError

    def computed(error: Exception, x: int, *, y: int) -> int:
        asked.append(("computed", type(error), x, y))
        return x + y

    safe = fallback(cached, computed, value=None)
    assert await safe(failing(rejection()))(1, y=2) == 3
    assert asked == [("cached", Rejected, 1, 2), ("computed", Rejected, 1, 2)]
    assert safe.stats().answered == {"cached": 0, "computed": 1, "value": 0}


async def test_if_none_can_answer_the_last_error_carries_the_others() -> None:
    original = UpstreamError()

    async def first(error: Exception) -> None:
        raise KeyError("first")

    def second(error: Exception) -> None:
        raise IndexError("second")

    safe = fallback(first, second, on=UpstreamError)
    with pytest.raises(IndexError) as caught:
        await safe(failing(original))()
    assert isinstance(caught.value.__context__, KeyError)
    assert caught.value.__context__.__context__ is original
    assert safe.stats().failed == 1


async def test_a_fallback_that_is_cancelled_is_cancelled() -> None:
    async def slow(error: Exception) -> None:
        await asyncio.Event().wait()

    task = asyncio.create_task(fallback(slow, value=None)(failing(rejection()))())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_functions_of_one_name_are_counted_apart() -> None:
    safe = fallback(lambda error: error.nothing, lambda error: "second")
    assert await safe(failing(rejection()))() == "second"
    assert safe.stats().answered == {"<lambda>": 0, "2. <lambda>": 1}


async def test_it_says_when_a_series_begins_and_ends(manual_clock: ManualClock) -> None:
    safe, heard = fallback(value="none", name="prices", clock=manual_clock), list[Event]()
    safe.events.subscribe(heard.append)
    bad, good = safe(failing(rejection())), safe(answering)
    for _ in range(3):
        await bad()
        for _ in range(CALM - 1):
            await good()
    at = manual_clock.time()
    assert heard == [FallbackBegan(source="prices", at=at, error="Rejected")]
    await good()
    assert heard[1:] == [FallbackEnded(source="prices", at=at, answered=3)]
    for _ in range(2 * CALM):
        await good()
    assert len(heard) == 2


async def test_types_numbers_and_name() -> None:
    async def cached(error: Exception, x: int) -> float:
        return 0.5

    def computed(error: Exception, x: int) -> bytes:
        return b""

    class Client:
        @fallback(cached, value=None)
        async def both(self, x: int) -> str:
            return ""

        @fallback(computed)
        async def sync(self, x: int) -> str:
            return ""

        @fallback(value=None)
        @staticmethod
        async def value(x: int) -> str:
            return ""

    assert_type(await Client().both(1), str | float | None)
    assert_type(await Client().sync(1), str | bytes)
    assert_type(await Client.value(1), str | None)
    safe = fallback(cached, value=None, name="prices")
    assert repr(safe) == "Fallback('prices', cached, value)"
    found = {(each.name, *each.labels.values()): each.value for each in samples(safe.stats())}
    assert found == {("answered", "cached"): 0, ("answered", "value"): 0, ("failed",): 0}


@pytest.mark.parametrize(
    ("build", "field"),
    [
        (fallback, "functions"),
        (lambda: fallback(3), "functions[0]"),  # type: ignore[call-overload]  # is refused
        (lambda: fallback(value=1, name=""), "name"),
        (lambda: fallback(value=1, on=()), "on"),
        (lambda: fallback(value=1, on=asyncio.CancelledError), "on"),  # type: ignore[arg-type]
        (lambda: fallback(value=1, on="all"), "on"),  # type: ignore[call-overload]  # is refused
    ],
)
def test_what_can_not_work_is_refused_by_field(build: Callable[[], object], field: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        build()
    assert caught.value.field == field


def test_a_sync_function_is_refused_at_decoration() -> None:
    safe: Callable[..., Any] = fallback(value=1)
    with pytest.raises(ConfigurationError, match="async def"):
        safe(lambda: 1)
