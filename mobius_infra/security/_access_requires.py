"""`@access.requires(...)`: the decision before the call."""

import inspect
import re
from collections.abc import Awaitable, Callable, Coroutine
from contextvars import ContextVar
from functools import wraps
from typing import TYPE_CHECKING, Any, Final, ParamSpec, TypeVar

from mobius_infra.core import AsyncDecorator, ConfigurationError, require, signature_source
from mobius_infra.security._access_patterns import parse_permission

if TYPE_CHECKING:
    from mobius_infra.security._access import Access

P = ParamSpec("P")
R = TypeVar("R")

SubjectSource = str | ContextVar[Any]  # Any: of a `Who`; ContextVar is invariant
ResourceSource = str | Callable[..., object]

_PATH: Final = re.compile(r"(?P<root>[^\W\d]\w*)(?:\.[^\W\d]\w*)*")


class Requires(AsyncDecorator):
    """Lets a call through if the subject has a permission.

    Made by `Access.requires`.
    """

    __slots__ = ("_access", "_mfa", "_permission", "_resource", "_subject")

    def __init__(
        self,
        access: "Access",
        permission: str,
        subject: SubjectSource | None,
        resource: ResourceSource | None,
        mfa: float | None,
    ) -> None:
        parse_permission(permission)
        good = isinstance(subject, str | ContextVar)
        require(good, "subject", subject, "a parameter's name, or a context variable")
        good = resource is None or isinstance(resource, str) or callable(resource)
        require(good, "resource", resource, "a parameter's name, or a function of the arguments")
        good = mfa is None or (not isinstance(mfa, bool) and 0 < mfa < float("inf"))
        require(good, "mfa", mfa, "a positive number of seconds, or None")
        self._access = access
        self._mfa = mfa
        self._permission = permission
        self._subject: Any = subject  # Any: checked just above
        self._resource = resource

    def _wrap(self, func: Callable[P, Awaitable[R]]) -> Callable[P, Coroutine[Any, Any, R]]:
        access, permission, mfa = self._access, self._permission, self._mfa
        subject_of = argument_source(self._subject, "subject", func)
        resource_of = (
            None if self._resource is None else argument_source(self._resource, "resource", func)
        )

        @wraps(func)
        async def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
            who, resource = None, None
            try:
                who = subject_of(*args, **kwargs)
                if resource_of is not None:
                    resource = resource_of(*args, **kwargs)
                    if inspect.isawaitable(resource):
                        resource = await resource
            except Exception as error:
                inspect.signature(func).bind(*args, **kwargs)  # a wrong call is its own error
                part = "subject" if who is None else "resource"
                raise access.failed(
                    who, permission, f"{type(error).__name__} where the {part} was looked up"
                ) from error
            access.check(who, permission, resource, mfa=mfa)
            return await func(*args, **kwargs)

        return wrapper

    def __repr__(self) -> str:
        return f"{self._access!r}.requires({self._permission!r})"


# Any: any function's arguments, and whatever they lead to.
def argument_source(
    source: Any, field: str, func: Callable[..., object], *, through_none: bool = False
) -> Callable[..., Any]:
    """Return a function of the call's arguments that gives the subject or the resource.

    Args:
        source: a parameter, a path from one, a function of the arguments, or a context variable.
        field: how errors call it.
        func: has the parameters.
        through_none: whether a path that comes by a None gives that, and is no error.
    """
    if isinstance(source, ContextVar):
        get = source.get
        return lambda *_args, **_kwargs: get(None)
    if not isinstance(source, str):
        return source  # type: ignore[no-any-return]  # a function, as was checked
    signature = inspect.signature(func)
    path = _PATH.fullmatch(source)
    if path is None or path["root"] not in signature.parameters:
        known = ", ".join(signature.parameters) or "none"
        called = getattr(func, "__qualname__", repr(func))
        allowed = f"a parameter of {called} ({known}), or a path from one, such as message.chat"
        raise ConfigurationError(field, source, allowed)
    names: dict[str, object] = {}
    steps = [f"return {source}"]
    if through_none:
        root, *attributes = source.split(".")
        steps = [f"found = {root}"]
        for each in attributes:
            steps += ["if found is None: return None", f"found = found.{each}"]
        steps.append("return found")
    written = "\n    ".join((f"def reach{signature_source(signature, names)}:", *steps))
    # Only identifiers that the signature itself has, and attributes of them, are in `written`.
    exec(compile(written, f"<{field} of {func!r}>", "exec"), names)  # noqa: S102
    built = names["reach"]
    assert callable(built)  # noqa: S101 - just defined
    return built
