"""The pictures in the documentation are what the script draws from a run of today's breaker."""

import runpy
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"


def test_the_pictures_are_up_to_date() -> None:
    drawn = runpy.run_path(str(DOCS / "draw_breaker.py"))["pictures"]()
    for name, picture in drawn.items():
        assert (DOCS / "explanation" / name).read_text(encoding="utf-8") == picture
