"""A file's name is one name, on any system and in any reading."""

# ruff: noqa: RUF001 - letters that look like others are what this is about

from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mobius_infra.core import ConfigurationError
from mobius_infra.security import FileName, InvalidInputError, views
from tests.security.support import calm, reason


@pytest.mark.parametrize(
    "name",
    [
        "cat.png", "c++.txt", "+1.txt", "100%.txt", "R&D.pdf", "Отчёт за май.docx", "写真 (1).jpg",
        "½ cup.txt", "wait….txt", "console.log", "nullable.py", "com10.txt", "a.b.c", "👩‍🚀.png",
    ],
)  # fmt: skip
def test_ordinary_names_pass_as_they_came(name: str) -> None:
    assert FileName()(name) is name


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("../etc/passwd", "separator"),
        ("..\\boot.ini", "separator"),
        ("a/b", "separator"),
        ("/etc", "separator"),
        ("%2e%2e%2fetc", "separator"),
        ("%252e%252e%255cetc", "separator"),
        ("..%c0%af", "hidden"),
        ("a&#47;b", "separator"),
        ("a／b", "separator"),  # full width
        ("a∕b", "separator"),  # what old code pages make a slash of
        ("a%00.png", "separator"),
        ("..", "reserved"),
        (".", "reserved"),
        ("．．", "reserved"),
        ("%2e%2e", "reserved"),
        ("", "reserved"),
        (" ", "reserved"),
        (". .", "reserved"),
        (".bashrc", "hidden"),
        ("%2ebashrc", "hidden"),
        ("file.", "edge"),
        ("file ", "edge"),
        (" file", "edge"),
        ("-rf", "edge"),
        ("con", "reserved"),
        ("CON.txt", "reserved"),
        ("nul .tar.gz", "reserved"),
        ("aux.", "edge"),
        ("COM1", "reserved"),
        ("lpt9.log", "reserved"),
        ("COM¹.txt", "reserved"),
        ("conin$", "reserved"),
        ("ｃｏｎ", "reserved"),
        ("file.txt:stream", "class"),
        ("a?.txt", "class"),
        ("a|b", "class"),
        ("a\nb", "control"),
        ("a\0b", "control"),
        ("gpj\u202eexe.png", "bidi"),
        ("a\u200bb", "invisible"),
        ("é" * 128, "bytes"),
        ("a" * 256, "length"),
    ],
)  # fmt: skip
def test_what_is_no_name_of_one_file_is_refused(name: str, expected: str) -> None:
    assert reason(FileName(), name) == expected


def test_extensions_are_allowed_by_name() -> None:
    check = FileName(extensions={"png", "JPG"})
    assert reason(check, "cat.PNG") is None
    assert reason(check, "cat.jpg") is None
    assert reason(check, "cat.png.exe") == "extension"
    assert reason(check, "png") == "extension"


def test_hidden_files_may_be_allowed() -> None:
    assert FileName(hidden=True)(".bashrc") == ".bashrc"


@pytest.mark.parametrize("wrong", ["png", {".png"}, {""}])
def test_extensions_that_can_not_be_are_refused(wrong: Any) -> None:
    with pytest.raises(ConfigurationError):
        FileName(extensions=wrong)


PARTS = st.lists(
    st.sampled_from(
        ["..", "/", "\\", "%2f", "%5c", "%2e", "%25", "&#47;", "&sol;", "a", ".", " ",
         "con", "nul", ":", "．", "／", "＼", "%u2216", "%c0%af", ".txt", "\0", "c"]
    ),
    max_size=8,
).map("".join)  # fmt: skip


@calm
@given(PARTS | st.text(max_size=20))
def test_no_reading_of_a_name_that_passed_leaves_its_folder(name: str) -> None:
    try:
        passed = FileName()(name)
    except InvalidInputError:
        return
    for view in views(passed):
        assert len(PurePosixPath(view.text).parts) == 1
        assert PurePosixPath("/base", view.text).parent == PurePosixPath("/base")
        assert ".." not in (view.text, view.text.strip())
    windows = PureWindowsPath("C:\\base", passed)
    assert windows.parent == PureWindowsPath("C:\\base")
    assert passed.partition(".")[0].rstrip().upper() not in {"CON", "NUL"}
