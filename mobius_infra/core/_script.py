"""Atomic steps: a decision as a pure function, the same one in Python and in Lua.

A step takes the state under a key, the backend's time and its arguments, and returns the new
state, a result, and how long the state is worth keeping:

    def take(state: State | None, now: float, rate: float, burst: float, cost: float, /) -> tuple[
        State | None, tuple[bool, float], float | None
    ]: ...

In memory it is called on the object itself, in SQL inside a transaction, and on Redis its Lua
twin runs on the server. The twin is a chunk that returns a function of the same shape:

    return function(state, now, rate, burst, cost)
        return state, {allowed, wait}, ttl
    end

Neither touches a clock, a key, or randomness that isn't among its arguments.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources.abc import Traversable
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar

Scalar = float | int | str | bool
"""What a step takes and returns: everything that Lua and JSON agree on."""

# Any: JSON-like by contract (scalars and lists of them), which the type system can't say briefly.
State = list[Any]
"""A step's state: a list of scalars and of such lists. A step may change it in place."""

P = ParamSpec("P")
Result = TypeVar("Result", bound=tuple[Scalar, ...])

Outcome = tuple[State | None, Result, float | None]
"""New state (None deletes it), result, and seconds until it may be forgotten (None: never)."""


@dataclass(frozen=True, slots=True)
class Script(Generic[P, Result]):
    """A step under a name, with its Lua twin.

    Attributes:
        name: for errors and statistics.
        step: the pure function. It must not raise: an argument that it can't take is refused
            before, where the argument comes from.
        lua: the twin's source, or the resource that holds it.
    """

    name: str
    step: Callable[Concatenate[State | None, float, P], Outcome[Result]]
    lua: str | Traversable

    def source(self) -> str:
        """Return the twin's source text."""
        return self.lua if isinstance(self.lua, str) else self.lua.read_text(encoding="utf-8")
