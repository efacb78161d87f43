"""The wrapper of a cached function, written for its signature.

A hit in memory is a look into a dictionary by the arguments themselves, without making a key,
calling a function, awaiting or locking. The wrapper is made once, at decoration, as source text
with the function's own parameters, so that arguments are neither packed nor unpacked.
"""

import inspect
from collections.abc import Awaitable, Callable, Hashable
from string import Formatter
from typing import Any, Final
from uuid import UUID

from mobius_infra.cache._entry import Entry
from mobius_infra.cache._memory import MemoryTier
from mobius_infra.core import signature_source

# Types whose equal values are the same value to us. Floats are not: 0.0 equals -0.0.
_PLAIN: Final = (str, int, bool, bytes, type(None), UUID)

_TEMPLATE: Final = """
async def wrapper{head}:
    try:
        __entry = __find({alias})
    except __TypeError:  # not hashable
        __entry = None
    if (
        __entry is not None
        and __entry.until > __now()
        and __entry.sequence == __marks.sequence
        {same_types}
    ):
        if not __entry.visited:
            __note(__entry)
        __memory.hits += 1
        return __entry.value
    return await __missed({alias}, {kinds}{call})
"""

# Any, in this module: arguments and results of whatever function is decorated.
Missed = Callable[..., Awaitable[Any]]
"""Takes the arguments' place in the index, their types, and the arguments themselves."""


class Index:
    """Finds entries of one function by the arguments that make their keys."""

    def __init__(self, memory: MemoryTier) -> None:
        self.entries: dict[Hashable, Entry] = {}
        self._memory = memory
        self._kinds: dict[tuple[type, ...], tuple[type, ...]] = {}  # one for all alike

    def link(self, key: str, alias: Hashable, kinds: tuple[type, ...]) -> None:
        """Let what is held under `key` be found by `alias`, if it is safe to."""
        entry = self._memory.entries.get(key)
        if entry is None or entry.index is not None:  # gone, or linked by another who waited
            return
        if all(kind in _PLAIN for kind in kinds):
            entry.index, entry.alias = self.entries, alias
            entry.kinds = self._kinds.setdefault(kinds, kinds)
            self.entries[alias] = entry


def fields_of(
    template: str | Callable[..., str] | None, signature: inspect.Signature
) -> list[str] | None:
    """Return the parameters whose values alone make the key; None if it is not so simple."""
    parameters = signature.parameters
    kinds = {parameter.kind for parameter in parameters.values()}
    if kinds & {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD}:
        return None
    if template is None:
        return list(parameters)
    if callable(template):
        return None
    if template in parameters:
        return [template]
    names = [name for _, name, _, _ in Formatter().parse(template) if name is not None]
    return list(dict.fromkeys(names)) if all(name in parameters for name in names) else None


def make_wrapper(
    signature: inspect.Signature,
    fields: list[str],
    index: Index,
    memory: MemoryTier,
    marks: Any,
    now: Callable[[], float],
    missed: Missed,
) -> Callable[..., Any]:
    """Make the wrapper of a function with `signature`, whose key is made of `fields`."""
    names: dict[str, object] = {
        "__find": index.entries.get,
        "__now": now,
        "__marks": marks,
        "__memory": memory,
        "__note": memory.note,
        "__missed": missed,
        "__type": type,
        "__TypeError": TypeError,
    }
    head = signature_source(signature, names)
    passed = "".join(
        f", {each.name}={each.name}" if each.kind is each.KEYWORD_ONLY else f", {each.name}"
        for each in signature.parameters.values()
    )
    if len(fields) == 1:
        alias = fields[0]
        same = f"and __entry.kinds[0] is __type({alias})"
    else:
        alias = f"({', '.join(fields)})"
        same = "".join(
            f"and __entry.kinds[{number}] is __type({name})\n        "
            for number, name in enumerate(fields)
        )
    source = _TEMPLATE.format(
        head=head,
        alias=alias,
        same_types=same,
        kinds=f"({''.join(f'__type({name}), ' for name in fields)})",
        call=passed,
    )
    # Only identifiers that the signature itself has are put into `source`.
    exec(compile(source, "<cached>", "exec"), names)  # noqa: S102
    wrapper: Any = names["wrapper"]
    made: Callable[..., Any] = wrapper
    return made
