"""Key templates such as `"{user_id}:{coin}"`, compiled once for the function that they name.

A template names parameters, and may reach into them: `{message.chat.id}`, `{pair[0]}`. It is
turned into a function of the same signature, so that defaults and keywords bind as in the call
itself and a key costs one formatted string.
"""

import inspect
import re
from collections.abc import Callable
from string import Formatter

from mobius_infra.core._errors import ConfigurationError
from mobius_infra.core._source import signature_source

KeyFunction = Callable[..., str]

_FIELD = re.compile(r"(?P<root>[^\W\d]\w*)(?P<path>(?:\.[^\W\d]\w*|\[\d+\])*)")
_QUOTED = re.compile(r"[%:]")


def quote(value: object) -> str:
    """Return `value` as one part of a key, so that different lists of parts never join alike.

    `"a:b"` followed by `"c"` must not make the key of `"a"` followed by `"b:c"`: the separator and
    the escape character are escaped as in URLs.
    """
    text = str(value)
    if ":" in text or "%" in text:
        return _QUOTED.sub(lambda found: f"%{ord(found[0]):02X}", text)
    return text


def compile_key(template: str | Callable[..., str], func: Callable[..., object]) -> KeyFunction:
    """Compile a template, or pass a function through, for calls of `func`.

    Args:
        template: text with `{parameter}` fields; a bare parameter name stands for one field; or a
            function that takes the call's arguments and returns the key.
        func: the function that is decorated.

    Returns:
        A function that takes the arguments of a call of `func` and returns its key.

    Raises:
        ConfigurationError: if a field names no parameter of `func`, or is not a plain reference.
    """
    if callable(template):
        return template
    signature = inspect.signature(func)
    parameters = signature.parameters
    if template.isidentifier():
        if template not in parameters:
            raise _unknown(template, template, func)
        template = "{" + template + "}"
    parts: list[str] = []
    for literal, name, spec, conversion in Formatter().parse(template):
        parts.append(literal.replace("{", "{{").replace("}", "}}"))
        if name is None:
            continue
        found = _FIELD.fullmatch(name)
        if found is None or spec or conversion:
            raise ConfigurationError(
                "key", template, "made of plain fields such as {user_id}, {user.id} or {pair[0]}"
            )
        if found["root"] not in parameters:
            raise _unknown(template, found["root"], func)
        parts.append("{__quote(" + name + ")}")
    return _build("".join(parts), signature, func)


def _build(body: str, signature: inspect.Signature, func: Callable[..., object]) -> KeyFunction:
    """Make a function with `signature` that returns the formatted `body`."""
    names: dict[str, object] = {"__quote": quote}
    head = signature_source(signature, names)
    source = f"def key{head}:\n    return f{body!r}"
    # Only identifiers that the signature itself has, and constants, are in `source`.
    exec(compile(source, f"<key of {func!r}>", "exec"), names)  # noqa: S102
    built = names["key"]
    assert callable(built)  # noqa: S101 - just defined
    return built


def _unknown(template: str, name: str, func: Callable[..., object]) -> ConfigurationError:
    known = ", ".join(inspect.signature(func).parameters) or "none"
    called = getattr(func, "__qualname__", repr(func))
    return ConfigurationError(
        "key", template, f"made of parameters of {called}: {name!r} is not one of them ({known})"
    )
