"""The tables are what the script makes of Unicode's files, with their licence."""

from importlib.resources import files

import pytest

from mobius_infra.security._unicode import script_of, scripts, skeleton
from tests.security.make_unicode import confusables
from tests.security.make_unicode import scripts as make_scripts

CONFUSABLES = """\
# Version: 18.0.0
0430 ;	0061 ;	MA	# CYRILLIC SMALL LETTER A → LATIN SMALL LETTER A	#

FF41 ;	0061 ;	MA	# FULLWIDTH LATIN SMALL LETTER A → LATIN SMALL LETTER A	#
118E3 ;	0072 006E ;	MA	# two letters
"""
SCRIPTS = """\
# Scripts-18.0.0.txt
0061..007A    ; Latin # L&  [26] LATIN SMALL LETTER A..LATIN SMALL LETTER Z
0041..0060    ; Latin # L&  [26]
00AA          ; Latin # Lo       FEMININE ORDINAL INDICATOR
"""


def test_what_looks_alike_is_on_one_line_and_ranges_that_touch_are_one() -> None:
    assert confusables(CONFUSABLES).splitlines()[4:] == ["61;430 ff41", "72 6e;118e3"]
    assert make_scripts(SCRIPTS).splitlines()[4:] == ["Latin;41-7a aa-aa"]


@pytest.mark.parametrize("name", ["confusables.txt", "scripts.txt"])
def test_the_tables_state_source_version_and_licence(name: str) -> None:
    head = files("mobius_infra.security").joinpath(name).read_text("ascii").splitlines()[:4]
    assert "version 18.0" in head[0]
    assert "Unicode, Inc." in head[1]
    assert "Unicode-3.0" in head[2]


def test_the_tables_are_whole() -> None:
    assert len(scripts()) > 170
    alike = files("mobius_infra.security").joinpath("confusables.txt").read_text("ascii")
    assert sum(len(line.split(";")[1].split()) for line in alike.splitlines()[4:]) > 6_000
    assert skeleton("\u0430\uff41") == "aa"
    assert {script_of(chr(each)) for each in range(ord("a"), ord("z") + 1)} == {"Latin"}
