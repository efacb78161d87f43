"""The wrapper of a limited function, written for its signature.

A call that passes is one look into a dict and some arithmetic, without calling a function but the
clock's, or awaiting anything but the limited function itself. The wrapper is made once, at
decoration, as source text with the function's own parameters, so that arguments are neither packed
nor unpacked; whatever is out of the ordinary is left to `rest`.
"""

import inspect
from collections.abc import Callable, Sized
from typing import Any, Final

from mobius_infra.core import signature_source
from mobius_infra.ratelimit._table import Key, Meters, States

# See `Meters`: the value of a key is when it will owe nothing, in parts of a microsecond.
_METERED: Final = """
async def wrapper{head}:
    __key = {key}
    try:
        __until = __values[__key]{unless_waiting}
    except __KeyError:
        {rest}
    else:
        __now = __int(__monotonic() * 1e6){scale}
        if __until <= __now:
            __values[__key] = __now + {price}
        elif __until <= __now + {spare}:
            __values[__key] = __until + {price}
        else:
            {rest}
    {count}
    return await __func({call})
"""

_STATED: Final = """
async def wrapper{head}:
    __key = {key}
    if {or_waiting}not __take(__key, {cost}):
        {rest}
    {count}
    return await __func({call})
"""

_COUNT: Final = """\
__counts.allowed = __allowed = __counts.allowed + 1
    if not __allowed & 255:
        __sweep()\
"""


# Any: arguments and results of whatever function is decorated.
def make_wrapper(
    func: Callable[..., Any],
    key: str | None,
    key_of: Callable[..., Key],
    table: Meters | States,
    cost: int,
    counts: Any,
    rest: Callable[[Key], Any],
    lines: Sized | None,
) -> Callable[..., Any]:
    """Make the wrapper of `func`.

    Args:
        func: what is limited.
        key: the parameter whose value alone is the key, if it is so simple; "" for one key for all
            calls; None for whatever `key_of` makes of the arguments.
        key_of: returns the key of a call, or of that parameter's value.
        table: the limits.
        cost: of each call.
        counts: where `allowed` is counted.
        rest: decides what is not decided here; returns, or is awaited, if the call may be made.
        lines: those that wait, if calls do, behind whom newcomers stand; `rest` is then async.
    """
    signature = inspect.signature(func)
    names: dict[str, object] = {
        "__key_of": key_of,
        "__counts": counts,
        "__rest": rest,
        "__func": func,
        "__sweep": table.sweep,
        "__type": type,
        "__int": int,
        "__KeyError": KeyError,
        "__lines": lines,
        "__never": float("inf"),
    }
    fields: dict[str, object] = {
        "head": signature_source(signature, names),
        "call": (call := ", ".join(_passed(each) for each in signature.parameters.values())),
        "key": "''",
        "count": _COUNT,
        "cost": cost,
        "rest": "__rest(__key)" if lines is None else "await __rest(__key)",
        "or_waiting": "" if lines is None else "__lines or ",
        "unless_waiting": "" if lines is None else " if not __lines else __never",
    }
    if key is None:
        fields["key"] = f"__key_of({call})"
    elif key:
        # Not isinstance: True is kept as "True", not as 1.
        fields["key"] = f"{key} if __type({key}) is __int else __key_of({key})"
    if isinstance(table, Meters):
        names |= {"__values": table.room.values, "__monotonic": table.monotonic}
        fields["price"] = price = cost * table.period
        fields["spare"] = table.capacity - price
        fields["scale"] = f" * {table.count}" if table.count > 1 else ""
        template = _METERED
    else:
        names["__take"] = table.quick()
        template = _STATED
    # Only identifiers that the signature itself has, and integers, are put into `source`.
    source = template.format(**fields)
    exec(compile(source, f"<limited {func!r}>", "exec"), names)  # noqa: S102
    made: Any = names["wrapper"]
    return made  # type: ignore[no-any-return]


def _passed(parameter: inspect.Parameter) -> str:
    if parameter.kind is parameter.VAR_POSITIONAL:
        return f"*{parameter.name}"
    if parameter.kind is parameter.VAR_KEYWORD:
        return f"**{parameter.name}"
    if parameter.kind is parameter.KEYWORD_ONLY:
        return f"{parameter.name}={parameter.name}"
    return parameter.name
