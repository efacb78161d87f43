"""Settings from files and environments, refused with an error that names the field."""

from collections.abc import Mapping
from typing import Self

from pydantic import BaseModel, ConfigDict, ValidationError

from mobius_infra.core._errors import ConfigurationError


class Config(BaseModel):
    """Base of every component's settings: immutable, and unknown names are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @classmethod
    def load(cls, data: Mapping[str, object]) -> Self:
        """Validate a mapping, as read from JSON.

        Raises:
            ConfigurationError: naming the first field at fault, its value, and what is allowed.
        """
        try:
            return cls.model_validate(data)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            field = ".".join(str(part) for part in first["loc"]) or cls.__name__
            raise ConfigurationError(field, first["input"], first["msg"]) from error


def require(condition: bool, field: str, value: object, allowed: str) -> None:
    """Raise a `ConfigurationError` unless `condition` holds."""
    if not condition:
        raise ConfigurationError(field, value, allowed)
