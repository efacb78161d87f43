"""Source text for functions that are written at decoration."""

import inspect


class _Name:
    """Prints as an identifier, for a default value in a generated signature."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __repr__(self) -> str:
        return self._name


def signature_source(signature: inspect.Signature, names: dict[str, object]) -> str:
    """Return a signature's source without annotations.

    Args:
        signature: of the function that the written one stands for.
        names: the written function's globals; defaults are put there, as the objects they are,
            since their `repr` need not be an expression.
    """
    declared = []
    for number, parameter in enumerate(signature.parameters.values()):
        bare = parameter.replace(annotation=inspect.Parameter.empty)
        if parameter.default is not inspect.Parameter.empty:
            names[f"__default{number}"] = parameter.default
            bare = bare.replace(default=_Name(f"__default{number}"))
        declared.append(bare)
    return str(inspect.Signature(declared))
