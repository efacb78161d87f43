"""What the tests of validation share."""

from typing import Any

from hypothesis import HealthCheck, settings

from mobius_infra.security import InvalidInputError

calm = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""However slow and busy the machine is."""


def reason(check: Any, value: object) -> str | None:
    """Return why a check refuses a value, or None if it does not."""
    try:
        check(value)
    except InvalidInputError as error:
        return error.reason
    return None
