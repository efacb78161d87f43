"""`Sanitizer`: HTML from people, of which only what is known to be harmless is kept."""

import re
from collections.abc import Iterable, Mapping

from mobius_infra.core import import_extra, require
from mobius_infra.security._invalid import InvalidInputError, fits_size

_TAGS = frozenset(
    "a b blockquote br code del em h1 h2 h3 h4 h5 h6 hr i li ol p pre s strong sub sup u ul".split()  # noqa: SIM905
)
_ATTRIBUTES = {"a": frozenset({"href", "title"})}
_SCHEMES = frozenset({"http", "https", "mailto"})
# These run something, load something, or leave the language that the sanitiser parses.
_NEVER = frozenset(
    """applet audio base embed form frame frameset iframe input link math meta noembed noframes
    noscript object param plaintext script select style svg template textarea title video
    xmp""".split()  # noqa: SIM905
)
_NEVER_ATTRIBUTES = frozenset({"style", "srcdoc", "formaction", "xlink:href", "ping", "is"})
_WITH_CONTENT = frozenset({"script", "style"})
_LINKS = frozenset({"href", "src", "cite", "longdesc"})
# Spaces of any script, which are no part of a scheme, and were dropped before one by old browsers.
_SCHEME = re.compile(r"[\s\0-\x20\xad\u180e\u200b-\u200f\u2060\ufeff]*+([^/?#:]*+):")


class Sanitizer:
    """Keeps the tags and attributes that are allowed; of other tags, the text in them.

    It is for HTML. Text that is not HTML loses what looks like tags: escape that instead. Needs the
    extra `security` (nh3).

    Args:
        tags: those kept. What runs or loads something can't be among them.
        attributes: those kept, by tag; `*` for all tags.
        schemes: of links; relative ones are kept too.
        longest: characters that may come in. nh3's time grows with the square of the ampersands
            that begin nothing: 16,384 of them are some milliseconds, ten times as many hundreds.

    Raises:
        ConfigurationError: for a tag, an attribute or a scheme by which scripts would come in.
        MissingExtraError: without nh3.
    """

    __slots__ = ("_attributes", "_clean", "_longest", "_schemes", "_tags")

    def __init__(
        self,
        *,
        tags: Iterable[str] = _TAGS,
        attributes: Mapping[str, Iterable[str]] = _ATTRIBUTES,
        schemes: Iterable[str] = _SCHEMES,
        longest: int = 16_384,
    ) -> None:
        self._tags = _lowered("tags", tags)
        require(not self._tags & _NEVER, "tags", sorted(self._tags & _NEVER), "harmless")
        # Without a word on all tags, nh3 keeps `title` and `lang` on any.
        self._attributes: dict[str, set[str]] = {"*": set()} | {
            tag.lower(): set(_lowered(f"attributes[{tag!r}]", names))
            for tag, names in attributes.items()
            if tag == "*" or tag.lower() in self._tags
        }
        for names in self._attributes.values():
            bad = sorted(each for each in names if each[:2] == "on" or each in _NEVER_ATTRIBUTES)
            require(not bad, "attributes", bad, "harmless")
        self._schemes = _lowered("schemes", schemes)
        bad = sorted(self._schemes & {"javascript", "vbscript", "data", "file", "blob"})
        require(not bad, "schemes", bad, "harmless")
        require(type(longest) is int and longest > 0, "longest", longest, "1 or more")
        self._longest = longest
        self._clean = import_extra(
            "mobius_infra.security._nh3", feature="sanitising HTML", extra="security"
        ).clean

    def __call__(self, html: str) -> str:
        """Return what is kept of `html`.

        Raises:
            InvalidInputError: if it is too long, or no text.
        """
        if not isinstance(html, str):
            raise InvalidInputError("type", f"of type {type(html).__name__}", "a string")
        fits_size(html, self._longest, None)
        kept: str = self._clean(
            html,
            tags=set(self._tags),
            clean_content_tags=set(_WITH_CONTENT),
            attributes=self._attributes,
            url_schemes=set(self._schemes),
            attribute_filter=self._harmless,
            link_rel="noopener noreferrer nofollow" if "a" in self._tags else None,
        )
        return kept

    def _harmless(self, _tag: str, name: str, value: str) -> str | None:
        """Return the attribute's value, unless it is a link that has another scheme to anybody."""
        match = _SCHEME.match(value) if name in _LINKS else None
        return value if match is None or match[1].strip().lower() in self._schemes else None

    def __repr__(self) -> str:
        return f"Sanitizer(tags={sorted(self._tags)})"


def _lowered(field: str, names: Iterable[str]) -> frozenset[str]:
    require(not isinstance(names, str), field, names, "a collection of names")
    return frozenset(each.lower() for each in names)
