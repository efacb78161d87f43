"""Which key a call belongs to, as the user names it."""

from collections.abc import Callable
from urllib.parse import unquote

from mobius_infra.core import compile_key

KeyTemplate = str | Callable[..., str]


def key_function(template: KeyTemplate, func: Callable[..., object]) -> Callable[..., str]:
    """Compile a template for calls of `func`. A parameter alone is not quoted: nothing is joined.

    Raises:
        ConfigurationError: if it names no parameter of `func`.
    """
    made = compile_key(template, func)
    if callable(template) or not template.isidentifier():
        return made
    return lambda *args, **kwargs: unquote(made(*args, **kwargs))
