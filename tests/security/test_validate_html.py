"""HTML keeps what is allowed and nothing that runs; text for Telegram is shown as it is."""

import html
import json
import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from aiogram.utils.text_decorations import html_decoration
from hypothesis import given
from hypothesis import strategies as st
from telegram import helpers

from mobius_infra.core import ConfigurationError, MissingExtraError
from mobius_infra.security import InvalidInputError, Sanitizer, escape_html, escape_markdown
from tests.security.support import calm

CORPUS = Path(__file__).with_name("payloads") / "dompurify.jsonl"
DEFAULT = {
    "a", "b", "blockquote", "br", "code", "del", "em", "h1", "h2", "h3", "h4", "h5", "h6", "hr",
    "i", "li", "ol", "p", "pre", "s", "strong", "sub", "sup", "u", "ul",
}  # fmt: skip


class Reader(HTMLParser):
    """Reads HTML as a stranger would, and keeps what could do harm."""

    def __init__(self) -> None:
        super().__init__()
        self.wrong: list[object] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in DEFAULT:
            self.wrong.append(tag)
        for name, value in attrs:
            if (tag, name) not in {("a", "href"), ("a", "title"), ("a", "rel")}:
                self.wrong.append((tag, name))
            scheme = re.match(r"[\s\0-\x1f]*([^/?#]*?):", value or "")
            if name == "href" and scheme and scheme[1].lower() not in {"http", "https", "mailto"}:
                self.wrong.append((name, value))

    def handle_comment(self, data: str) -> None:
        self.wrong.append(data)

    def handle_decl(self, decl: str) -> None:
        self.wrong.append(decl)

    handle_pi = unknown_decl = handle_comment


def harm_in(text: str) -> list[object]:
    reader = Reader()
    reader.feed(text)
    reader.close()
    return reader.wrong


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("<b onclick=x()>hi</b>", "<b>hi</b>"),
        ("a<script>alert(1)</script>b", "ab"),
        ("<style>*{}</style>b", "b"),
        ("<img src=x onerror=alert(1)>", ""),
        ('<a href="javascript:alert(1)">x</a>', '<a rel="noopener noreferrer nofollow">x</a>'),
        ('<a href="java\tscript:alert(1)">x</a>', '<a rel="noopener noreferrer nofollow">x</a>'),
        (
            '<a href="https://e.example/?a=1&b=2">x</a>',
            '<a href="https://e.example/?a=1&amp;b=2" rel="noopener noreferrer nofollow">x</a>',
        ),
        ("<!-- x --><div>y</div>", "y"),
        ('<a href="\u1680javascript:x">x</a>', '<a rel="noopener noreferrer nofollow">x</a>'),
        ('<a href="/x:y">x</a>', '<a href="/x:y" rel="noopener noreferrer nofollow">x</a>'),
        ('<b title="x" lang="y" class="z" id="w">v</b>', "<b>v</b>"),
        ("1 < 2 & 3", "1 &lt; 2 &amp; 3"),
        ("<svg><script>alert(1)</script></svg>", ""),
        ("<math><mtext><table><mglyph><style><img src=x onerror=alert(1)>", ""),
    ],
)
def test_only_what_is_allowed_is_kept(text: str, kept: str) -> None:
    assert Sanitizer()(text) == kept


@calm
@given(
    st.lists(
        st.sampled_from(
            ["<", ">", "</", "/>", "b", "a ", "script", "svg", "math", "style", "href=", "onerror=",
             "x", '"', "'", "javascript:", "&#106;", "<!--", "-->", "<![CDATA[", "]]>",
             "\0", " ", "noscript"]
        ),
        max_size=20,
    ).map("".join)
)  # fmt: skip
def test_whatever_comes_in_nothing_harmful_comes_out(text: str) -> None:
    clean = Sanitizer()
    kept = clean(text)
    assert harm_in(kept) == []
    assert clean(kept) == kept


def test_payloads_that_mutate_when_parsed_again_leave_nothing_harmful() -> None:
    clean = Sanitizer()
    texts = [json.loads(line)["text"] for line in CORPUS.read_text("utf-8").splitlines()]
    assert len(texts) == 44
    for text in texts:
        kept = clean(text)
        assert harm_in(kept) == [], text
        assert clean(kept) == kept, text


@pytest.mark.parametrize(
    "settings",
    [{"tags": {"script"}}, {"tags": {"B", "SVG"}}, {"tags": "b"},
     {"attributes": {"*": {"onClick"}}}, {"tags": {"p"}, "attributes": {"p": {"style"}}},
     {"schemes": {"javascript"}}, {"schemes": {"data"}}, {"longest": 0}],
)  # fmt: skip
def test_what_would_let_scripts_in_is_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        Sanitizer(**settings)


def test_its_input_is_bounded_and_text() -> None:
    with pytest.raises(InvalidInputError, match="11 characters"):
        Sanitizer(longest=10)("a" * 11)
    with pytest.raises(InvalidInputError, match="a string"):
        Sanitizer()(b"a")  # type: ignore[arg-type]


def test_tags_and_attributes_may_be_chosen() -> None:
    clean = Sanitizer(tags={"P", "b"}, attributes={"p": {"Title"}, "a": {"href"}})
    assert clean('<p title="x" id="y">a<i>b</i></p>') == '<p title="x">ab</p>'
    assert repr(clean) == "Sanitizer(tags=['b', 'p'])"


def test_without_nh3_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nh3", None)
    monkeypatch.delitem(sys.modules, "mobius_infra.security._nh3", raising=False)
    with pytest.raises(MissingExtraError, match=r"mobius-infra\[security\]"):
        Sanitizer()


# --- Telegram's markups

RESERVED = "_*[]()~`>#+-=|{}.!"


def shown(markdown: str) -> str:
    """Read MarkdownV2 without entities as Telegram does: what is shown, or an error.

    Any character of code 1 to 126 may follow a backslash, and reserved ones must.
    """
    text, at = "", 0
    while at < len(markdown):
        char = markdown[at]
        if char == "\\" and at + 1 < len(markdown) and 0 < ord(markdown[at + 1]) <= 126:
            at += 1
            char = markdown[at]
        elif char in RESERVED:
            raise ValueError(f"{char} is reserved")
        text += char
        at += 1
    return text


def inside(markdown: str, end: str) -> tuple[str, str]:
    """Read what is within code or the address of a link, up to `end`, and what is left."""
    text, at = "", 0
    while at < len(markdown):
        char = markdown[at]
        if char == "\\" and at + 1 < len(markdown) and 0 < ord(markdown[at + 1]) <= 126:
            at += 1
            char = markdown[at]
        elif markdown.startswith(end, at):
            return text, markdown[at + len(end) :]
        text += char
        at += 1
    raise ValueError("never closed")


TEXTS = st.lists(
    st.sampled_from([*RESERVED, "\\", "&", "<", ">", '"', "a", "\n", "é", "```", "||"])
).map("".join)
ANY = TEXTS | st.text()


@calm
@given(ANY)
def test_escaped_text_is_shown_as_it_is(text: str) -> None:
    assert shown(escape_markdown(text)) == text


@calm
@given(ANY, st.sampled_from(["`", "```"]))
def test_escaped_code_is_shown_as_it_is_and_ends_where_it_should(text: str, end: str) -> None:
    assert inside(escape_markdown(text, within="code") + end + "rest", end) == (text, "rest")


@calm
@given(ANY)
def test_an_escaped_address_is_kept_as_it_is_and_ends_where_it_should(text: str) -> None:
    assert inside(escape_markdown(text, within="link") + ")rest", ")") == (text, "rest")


class Shown(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.text = ""
        self.title: str | None = None

    def handle_data(self, data: str) -> None:
        self.text += data

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag == "a"
        ((_, self.title),) = attrs


@calm
@given(ANY.filter(lambda text: "\r" not in text and "\0" not in text))
def test_escaped_html_is_shown_as_it_is_between_tags_and_in_attributes(text: str) -> None:
    escaped = escape_html(text)
    reader = Shown()
    reader.feed(f'<a href="{escaped}">{escaped}</a>')
    reader.close()
    assert (reader.text, reader.title) == (text, text)
    # Telegram knows four names and no others.
    assert re.search("&(?!(?:lt|gt|amp|quot);)", escaped) is None


def test_what_looks_like_a_tag_survives_escaping() -> None:
    for text in ("<ada@example.org>", "List<T>", "a < b && c > d", "&lt;"):
        assert html.unescape(escape_html(text)) == text
        assert shown(escape_markdown(text)) == text


@calm
@given(ANY)
def test_other_libraries_escape_the_same(text: str) -> None:
    assert escape_markdown(text) == helpers.escape_markdown(text, version=2)
    for within, kind in (("code", "code"), ("link", "text_link")):
        theirs = helpers.escape_markdown(text, version=2, entity_type=kind)
        assert escape_markdown(text, within=within) == theirs  # type: ignore[arg-type]
    assert escape_html(text).replace("&quot;", '"') == html_decoration.quote(text)


def test_another_place_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="text, code, link"):
        escape_markdown("x", within="bold")  # type: ignore[arg-type]
