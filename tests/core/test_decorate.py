"""The decorator helper, through a decorator that only counts."""

import inspect
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial, wraps
from typing import Any, ParamSpec, TypeVar, assert_type

import pytest

from mobius_infra.core import AsyncDecorator, ConfigurationError

P = ParamSpec("P")
R = TypeVar("R")


class Counting(AsyncDecorator):
    def __init__(self) -> None:
        self.calls = 0

    def _wrap(self, func: Callable[P, Awaitable[R]]) -> Callable[P, Coroutine[Any, Any, R]]:
        @wraps(func)
        async def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
            self.calls += 1
            return await func(*args, **kwargs)

        return wrapper

    def __repr__(self) -> str:
        return "Counting()"


counting = Counting()


@counting
async def plain(x: int, y: str = "a") -> list[int]:
    """Say what it does."""
    return [x] * len(y)


class Service:
    @counting
    async def method(self, x: int) -> int:
        return x

    @counting
    @staticmethod
    async def static_inside(x: int) -> int:
        return x

    @staticmethod
    @counting
    async def static_outside(x: int) -> int:
        return x

    @counting
    @classmethod
    async def class_inside(cls, x: int) -> str:
        return f"{cls.__name__}{x}"

    @classmethod
    @counting
    async def class_outside(cls, x: int) -> str:
        return f"{cls.__name__}{x}"


async def test_every_kind_of_method_works_from_the_instance_and_the_class() -> None:
    service = Service()
    before = counting.calls
    assert await service.method(1) == 1
    assert await Service.method(service, 1) == 1
    for holder in (service, Service):
        assert await holder.static_inside(2) == await holder.static_outside(2) == 2
        assert await holder.class_inside(3) == await holder.class_outside(3) == "Service3"
    assert counting.calls == before + 10


async def test_types_are_kept() -> None:
    assert_type(await plain(1, y="ab"), list[int])
    assert_type(await Service().method(1), int)
    assert_type(await Service.static_inside(1), int)
    assert_type(await Service.class_outside(1), str)
    with pytest.raises(TypeError):
        await plain("x", z=1)  # type: ignore[arg-type, call-arg]  # the checker refuses it too


def test_name_docstring_and_signature_are_kept() -> None:
    assert plain.__name__ == "plain"
    assert plain.__doc__ == "Say what it does."
    assert str(inspect.signature(plain)) == "(x: int, y: str = 'a') -> list[int]"
    assert inspect.iscoroutinefunction(plain)
    assert inspect.iscoroutinefunction(inspect.unwrap(plain))


class Callable_:  # noqa: N801 - a callable object beside typing's Callable
    async def __call__(self, x: int) -> int:
        return x


@pytest.mark.parametrize("func", [partial(plain, 1), partial(partial(plain), 1)])
def test_partials_of_async_functions_are_accepted(func: Callable[..., Awaitable[object]]) -> None:
    assert inspect.iscoroutinefunction(counting(func))


def sync(x: int) -> int:
    return x


async def stream() -> Any:
    yield 1


@pytest.mark.parametrize(
    ("func", "says"),
    [
        (sync, "async def"),
        (stream, "async generator"),
        (42, "async function"),
        (Service, "async def"),
        (staticmethod(sync), "async def"),
    ],
)
def test_what_can_not_work_is_refused_at_decoration(func: Any, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says) as caught:
        counting(func)
    assert "Counting()" in str(caught.value)
