"""What makes no sense is refused where it is given."""

from mobius_infra.core import require


def require_seconds(field: str, value: float) -> None:
    """Refuse what is no span of time."""
    good = not isinstance(value, bool) and 0 < value < float("inf")
    require(good, field, value, "a positive number of seconds")
