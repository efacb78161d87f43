"""The accuracy card: what is found and what is flagged wrongly, by class and by language.

    python -m benchmarks.accuracy [DIRECTORY]

Reads the payloads written by hand for the tests, and, from the directory, any corpora as
`NAME.jsonl.xz` with rows of `text`, `label`, `category` and `lang`. Of those only the half whose
rows' SHA-256 begins with a set bit: the other half is for building. Nothing is pooled.
"""

import hashlib
import json
import lzma
import math
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from mobius_infra.security import Detector

PAYLOADS = Path(__file__).parents[1] / "tests" / "security" / "payloads"

Row = tuple[str, str]  # the set that a text counts for, and the text


def wilson(hits: int, of: int, z: float = 1.96) -> tuple[float, float]:
    """Return the 95 % interval of a share (Wilson 1927), which holds near 0 and 1 too."""
    if not of:
        return 0.0, 1.0
    share = hits / of
    middle = (share + z * z / (2 * of)) / (1 + z * z / of)
    half = z / (1 + z * z / of) * math.sqrt(share * (1 - share) / of + z * z / (4 * of * of))
    return max(0.0, middle - half), min(1.0, middle + half)


def by_hand() -> Iterator[Row]:
    """Give the texts written for the tests."""
    for path in sorted(PAYLOADS.glob("*.txt")):
        for line in path.read_text("utf-8").splitlines():
            yield f"by hand: {path.stem}", line


def held_out(directory: Path) -> Iterator[Row]:
    """Give the half of each corpus that no rule was built on."""
    for path in sorted(directory.glob("*.jsonl.xz")):
        with lzma.open(path, "rt", encoding="utf-8") as lines:
            for row in map(json.loads, lines):
                text = row["text"]
                held = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[0] >= 128
                if held and row["label"] in ("attack", "benign"):
                    name = path.name.removesuffix(".jsonl.xz")
                    yield f"{name}: {row.get('lang') or row['category']}", text


def card(rows: Iterable[Row]) -> str:
    """Return the table, in Markdown."""
    screen = Detector("card")
    counts: dict[str, tuple[int, int]] = {}
    for name, text in rows:
        hits, of = counts.get(name, (0, 0))
        counts[name] = hits + screen.check(text).suspicious, of + 1
    lines = ["| set | texts | flagged | 95 % interval |", "|---|---|---|---|"]
    for name, (hits, of) in counts.items():
        low, high = wilson(hits, of)
        lines.append(f"| {name} | {of} | {hits / of:.2%} | {low:.2%} to {high:.2%} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(card([*by_hand(), *(held_out(Path(sys.argv[1])) if len(sys.argv) > 1 else ())]))
