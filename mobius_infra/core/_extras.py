"""Optional packages: imported late, missed clearly."""

from importlib import import_module
from types import ModuleType

from mobius_infra.core._errors import MissingExtraError


def import_extra(module: str, *, feature: str, extra: str) -> ModuleType:
    """Import one of our own modules that needs packages of `extra`.

    Raises:
        MissingExtraError: naming the package that is not installed and the extra that brings it.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        missing = error.name or "?"
        if missing.partition(".")[0] == "mobius_infra":
            raise  # a mistake of ours, not a missing package
        raise MissingExtraError(feature, missing, extra) from error
