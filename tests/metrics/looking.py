"""What the tests of workers look at."""

from collections import defaultdict
from pathlib import Path

from mobius_infra.metrics import Workers
from mobius_infra.metrics._family import Labels


async def look(directory: Path) -> dict[str, dict[Labels, object]]:
    """What a reader sees: values by family and labels."""
    families = await Workers(directory).collect()
    seen: dict[str, dict[Labels, object]] = defaultdict(dict)
    for family in families:
        seen[family.name] = {series.labels: series.value for series in family.series}
    return seen


def worker(number: int) -> Labels:
    return (("worker", str(number)),)
