"""Many things at once, within limits."""

from mobius_infra.perf._gather import gather_bounded
from mobius_infra.perf._map import map_bounded

__all__ = ["gather_bounded", "map_bounded"]
