"""What becomes of a decorated function: chosen once, at decoration, by what it needs."""

import inspect
from collections.abc import Awaitable, Callable, Coroutine
from functools import wraps
from typing import Any, Literal, ParamSpec, TypeVar

from mobius_infra.core import compile_key, require, signature_source
from mobius_infra.ratelimit._call import make_wrapper
from mobius_infra.ratelimit._errors import RateLimitedError
from mobius_infra.ratelimit._gate import Gate
from mobius_infra.ratelimit._lease import Leases
from mobius_infra.ratelimit._shared import Share
from mobius_infra.ratelimit._table import Key, key_of

P = ParamSpec("P")
R = TypeVar("R")

# Any, in this module: arguments and answers of whatever function is decorated.
OnLimit = Literal["raise", "wait", "drop"] | Callable[..., Any]
KeyOf = str | Callable[..., str] | None
CostOf = int | str | Callable[..., int]


def wrap_local(
    func: Callable[P, Awaitable[R]],
    key: KeyOf,
    find_key: Callable[..., str],
    cost: int,
    share: Share,
    gate: Gate,
) -> Callable[P, Coroutine[Any, Any, R]]:
    """Wrap for limits in this process, where a call that passes needs no await."""
    table = share.policy.table

    def decide(place: Key) -> None:
        taken = table.take(place, cost, cost, 0)
        if taken.granted < 0:
            raise gate.refuse(share, str(place), taken)

    async def wait(place: Key) -> None:
        taken = await gate.wait(share, str(place), cost)
        if taken.granted < 0:
            raise gate.refuse(share, str(place), taken)

    simple: str | None = None
    finder: Callable[..., Key] = lambda *args, **kwargs: key_of(find_key(*args, **kwargs))  # noqa: E731
    if key is None:
        simple = ""
    elif parameter := _parameter(key, func):
        simple, of_value = parameter, compile_key("{value}", _value)
        finder = lambda value: key_of(of_value(value))  # noqa: E731
    rest, lines = (wait, gate.lines.places) if gate.waits else (decide, None)
    made = make_wrapper(func, simple, finder, table, cost, gate, rest, lines)
    return wraps(func)(made)


def wrap_leased(
    func: Callable[P, Awaitable[R]],
    find_key: Callable[..., str],
    cost: int,
    leases: Leases,
    gate: Gate,
) -> Callable[P, Coroutine[Any, Any, R]]:
    """Wrap for permits taken ahead: a call that finds one needs no await either."""

    @wraps(func)
    async def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        key = find_key(*args, **kwargs)
        if leases.quick(key, cost):
            gate.allowed += 1
        else:
            gate.counted(leases.share, key, await leases.take(key, cost))
        return await func(*args, **kwargs)

    return wrapper


def answerer(on_limit: OnLimit) -> Callable[..., Awaitable[Any]]:
    """Return what answers a refused call: given the error, and the call's arguments."""

    async def answer(error: RateLimitedError, *args: Any, **kwargs: Any) -> Any:
        if callable(on_limit):
            found = on_limit(error, *args, **kwargs)
            return await found if inspect.isawaitable(found) else found
        if on_limit == "drop":
            return None
        raise error

    return answer


def cost_reader(cost: CostOf, func: Callable[..., object]) -> Callable[..., int]:
    """Return a function of a call's arguments that says what it costs.

    Raises:
        ConfigurationError: if it is to be in a parameter that `func` has not.
    """
    if callable(cost):
        return cost
    if not isinstance(cost, str):
        return lambda *args, **kwargs: cost
    signature = inspect.signature(func)
    allowed = "a number, a function, or a parameter of the decorated function: " + ", ".join(
        signature.parameters
    )
    require(cost in signature.parameters, "cost", cost, allowed)
    names: dict[str, object] = {}
    head = signature_source(signature, names)
    # Only identifiers that the signature itself has are put into the source.
    exec(f"def read{head}:\n    return {cost}", names)  # noqa: S102
    made: Any = names["read"]
    return made  # type: ignore[no-any-return]


def _parameter(key: KeyOf, func: Callable[..., object]) -> str:
    """Return the parameter whose value alone is the key, if there is one."""
    if not isinstance(key, str):
        return ""
    name = key.removeprefix("{").removesuffix("}")
    found = inspect.signature(func).parameters.get(name)
    plain = found is not None and found.kind not in (found.VAR_POSITIONAL, found.VAR_KEYWORD)
    return name if plain else ""


def _value(value: object) -> None:
    """Have the signature of one value, for a key that is made of it."""
