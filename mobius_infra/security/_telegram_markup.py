"""Text escaped for Telegram's two markups, so that it is shown as it is.

https://core.telegram.org/bots/api#formatting-options
"""

import re
from typing import Literal

from mobius_infra.core import require

Within = Literal["text", "code", "link"]

_HTML = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;"})
_MARKDOWN = {
    "text": re.compile(r"[_*\[\]()~`>#+\-=|{}.!\\]"),
    "code": re.compile(r"[`\\]"),
    "link": re.compile(r"[)\\]"),
}


def escape_html(text: str) -> str:
    """Escape text for the parse mode `HTML`: between tags, and in the values of attributes."""
    return text.translate(_HTML)


def escape_markdown(text: str, *, within: Within = "text") -> str:
    """Escape text for the parse mode `MarkdownV2`.

    Args:
        text: what is to be shown.
        within: where it goes: `text`, also within bold and the like; `code`, between backticks, one
            or three; `link`, the address between the round brackets of a link or custom emoji.

    Raises:
        ConfigurationError: for another place.
    """
    require(within in _MARKDOWN, "within", within, f"one of {', '.join(_MARKDOWN)}")
    return _MARKDOWN[within].sub(r"\\\g<0>", text)
