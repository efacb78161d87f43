"""Cross-site scripting: would a browser run something of this text?

The text is read by a small HTML tokeniser, forgiving as browsers are, and then as what follows the
end of an attribute, as an address, and as a piece of a script. Ordinary markup is no finding:
`<b>`, `<user@host>` and `List<T>` pass.
"""

import re
from collections.abc import Iterator

from mobius_infra.security._rules import CRITICAL, Hit, Rule, mentions, plain


def _rule(what: str, score: int, why: str, attack: str = "xss") -> Rule:
    return Rule(f"{attack}.{what}", attack, score, why)


SCRIPT = _rule("script-tag", CRITICAL, "an element that runs or loads code")
ACTIVE = _rule("active-tag", CRITICAL, "an element that changes or leaves the page")
HANDLER = _rule("handler", CRITICAL, "an event handler in an element")
BREAKOUT = _rule("breakout", CRITICAL, "an attribute that is closed and followed by another")
ADDRESS = _rule("address", CRITICAL, "an address that is a script")
HIDDEN = _rule("hidden", CRITICAL, "a word of scripts taken apart, so that nobody finds it")
LINK = _rule("link", CRITICAL, "an element that loads from an address written to deceive")
STYLE = _rule("style", CRITICAL, "a style that runs or loads code")
CODE = _rule("code", CRITICAL, "a string closed and followed by a call")
ENTITY = _rule("entity", CRITICAL, "an XML entity that reads a file or an address", "xxe")
INSTRUCTION = _rule("instruction", CRITICAL, "an XML instruction or declaration")

# Also as UTF-7 and old character sets have it; `%`, `;` and NUL before the name were passed over.
_TAG = re.compile(
    r"(?:<|\\x3c|\\u003c|\+ADw-|\xbc|\udcbc)[/\s\x00;%]*+([a-z][^\s/<>\"'=(+\xbe\udcbe]*+)",
    re.IGNORECASE,
)
_ATTRIBUTE = re.compile(
    r"""[\s/"'`\x00,;)\]}]*+
        (?P<name>[^\s=/"'`<>\x00]++)
        (?:[\s\x00]*+=[\s\x00]*+(?P<value>"[^"]*+"?|'[^']*+'?|`[^`]*+`?|[^\s><]*+))?+""",
    re.VERBOSE,
)

_SCRIPTED = frozenset(
    """script iframe object embed applet frame frameset isindex layer ilayer bgsound portal
    animate animatetransform animatemotion set vmlframe event-source import
    svg math xml marquee""".split()  # noqa: SIM905 - a list of words
)
# These are also what manuals put between angle brackets: they say nothing without an attribute.
_PLACEHOLDERS = frozenset(
    "object frame import set applet layer portal xml math".split()  # noqa: SIM905
)
_IN_PROSE = re.compile(r">['\"`,.:)]\s|>['\"`]?\s[a-z]{1,12}[\s,.]")
_ACTIVE = frozenset("base meta link style form".split())  # noqa: SIM905
# Names that are content for some element: they only say something beside an address.
_ADDRESSED = frozenset(
    """href src action formaction data background poster lowsrc dynsrc to from values content
    code codebase xlink:href by folder classid url manifest style srcset rel cite""".split()  # noqa: SIM905
)

_RUNS = frozenset({"srcdoc", "ev:event", "datasrc", "datafld", "fscommand", "seeksegmenttime"})
_MARKS = "\"'`\u2018\u2019\u201c\u201d\udc91\udc92\udc93\udc94"  # quotes, typeset ones too
_BLANK = re.compile(r"(?:\\0|[\x00-\x20\x7f\xad\u200b-\u200f\u2028\u2029\u3000\\])+")
_SCRIPT_ADDRESS = re.compile(
    r"(?:java|vb|live|j|moc)script:|mhtml:|data:(?:text/(?:html|xml|javascript)|image/svg"
    r"|[^,a-z]*+[,;]"
    r"|application/)|(?:feed|view-source|jar):(?:java|data)|mocha:",
    re.IGNORECASE,
)
# Hosts as numbers, as percent signs, behind an @, or with the scheme of the page.
_DECEPTIVE = re.compile(
    r"(?:h\s*t\s*t\s*p\s*s?:)?//(?:[^\s/@]{1,60}@|[\d.\sx]{1,9}|(?:%[0-9a-f]{2}){4}|[^\s/]{0,60}(?:\.|:[a-z])"
    r"(?:[/\"'>]|$)|[^\s/]{0,60}https?:|\w{1,20}\W{0,2}$)|//\w",
    re.IGNORECASE,
)
_BARE_ADDRESS = re.compile(
    r"(?:^|[=\"'`(>,;&|\s])(?:j\s*a\s*v\s*a|v\s*b"
    r"|live)\s*s\s*c\s*r\s*i\s*p\s*t\s*:[^\s]{0,200}?[(=`/%\\]"
    r"|(?:^|[=\"'(\s])data:(?:text/html|image/svg\+xml|text/javascript)[,;]",
    re.IGNORECASE,
)
_STYLE = re.compile(
    r"expression\s*+\(|-moz-binding|behaviou?r:|@import|binding\s*:|url\("
    r"|[{}\\]",
    re.IGNORECASE,
)
# Any name of a handler: new ones come with every browser. Words that begin like one are left out.
_HANDLER = r"\bon(?!ly\b|ce\b|e\b|es\b|line\b|eline\b|going\b|to\b|wards?\b)[a-z]{3,30}"
_BREAKOUT = re.compile(
    rf"[\"'`][^<>\"'`]{{0,60}}?(?:{_HANDLER}|\bstyle\s*=[^=]{{0,80}}?(?:expression|url)\s*\("
    rf"|\bsrcdoc)[^\S\n]*+(?:=[^\S\n]*+\S|=$|\()"
    rf"|^[^\s<]{{0,40}}\s*{_HANDLER}\s*+=\s*+[^\s=]"
    rf"|{_HANDLER}\s{{0,9}}=\s{{0,9}}[\"'`]?\s{{0,9}}(?:alert|prompt|confirm|eval|javascript:)",
    re.IGNORECASE,
)
_GLOBALS = r"(?:top|self|window|parent|frames|globalthis|this|document)"
_RUNNERS = r"(?:alert|prompt|confirm|eval|atob|execscript|settimeout|setinterval)"
_CALLS = (
    rf"(?:{_RUNNERS}|document\s*\.\s*\w+|window\s*[.\[]|{_GLOBALS}\s*\[|string\.fromcharcode"
    r"|\[\]\s*\[|location\s*[.=]|(?:\$|jquery)\.get\w*|throw\s|on\w+\s*=)"
)
# Pieces of scripts, and for each what it cannot do without, in lower case.
_CODES: tuple[tuple[str, tuple[str, ...]], ...] = (
    # a string or block closed, an operator, and a call
    ((rf"[\"'`\]}})/\\][\s)}}\]]{{0,16}}+(?:[-+*/;,^|&<>=?%!~]|\x0a"
     rf"|\bin\b)[\s(\-+;,!~{{}}/*]{{0,16}}+{_CALLS}\s*+(?:\(|`|\\|&|[\[=.\"'])"),
     ("alert", "prompt", "confirm", "eval", "atob", "execscript", "settimeout", "setinterval",
      "document", "window", "top[", "self[", "parent[", "this[", "frames[", "fromcharcode", "[]",
      "location", ".get", "throw", "on")),
    ((r"^[^\s\"'`]{0,40}[\"'`][)}\]]{0,4}+[-+*/;,^|&:?%]{1,3}+"
     r"(?:console\.\w{1,9}|function|print|fetch|import|open|[a-z$_]{1,12})[(`][^\n]{0,60}?[)`]"
     r"[-+*/;,^|&:?%]"), ("'", '"', "`")),
    # a call and nothing before it
    ((r"^[\s;(\-+!~)}]*+(?:alert|prompt|confirm|eval)\s*+(?:\(|`)[^()\s]{1,40}[)`]"
     r"|(?:alert|prompt|confirm|eval)[)\]]*+[^\S\n]{0,3}+(?:\(|`)\s*+[/\"'`]?(?:1|xss|document|kcf|\d+"
     r"|string)\b"), ("alert", "prompt", "confirm", "eval")),
    # names put together or handed on
    (rf"\b{_GLOBALS}\[(?:[\"'/(+]|\d{{4}})",
     ("top[", "self[", "parent[", "this[", "frames[", "window[", "document[")),
    (r"\[\d\]\.(?:find|map|sort|some|every|filter|foreach)\(\w", ("].",)),
    (r"=\s{0,9}(?:alert|eval|prompt|confirm|execscript|unescape)\s{0,9}(?:[;,]|$)", ("=",)),
    (r"/\w{1,20}/\s{0,9}\.\s{0,9}source\b", ("source",)),
    ((r"\b(?:location|url|src)\s{0,9}=\s{0,9}(?:name|document|window|location|url"
     r"|[\"'`]javascript)\b"), ("location", "url", "src")),
    (r"\.constructor\s*\(|\[[\"']constructor[\"']\]", ("constructor",)),
    (r"(?:document|window)(?:\.\w{1,30}){0,4}\.(?:cookie|domain|write(?:ln)?\s*\()",
     ("document.", "window.")),
    (r"string\.fromcharcode\s*\(\s*\d+\s*,", ("fromcharcode",)),
    (r"\bsrcdoc\s*=\s*[\"']?<", ("srcdoc",)),
    ((r"\bimport\s{0,9}\(\s{0,9}[\"'`](?:data:|https?:|//)|&\{[^{}]{1,80}\};?"
     r"|\bwith\s{0,9}\(\s{0,9}document\s{0,9}\)"), ("import", "&{", "with")),
    # code without letters
    (r"\(?[!+]\[\]\+\[\]\)?|\[\+!?\+?\[\]\]|=~\[\];|\$=~", ("[]", "$=~")),
)  # fmt: skip
_CODE = tuple((re.compile(pattern, re.IGNORECASE), needed) for pattern, needed in _CODES)

# What takes a word apart: strings put together, escapes of letters, comments.
_APART = re.compile(
    r"[\"'`]\s?(?:\+|\|\||&&)\s?[\"'`]|\\(?:u00|x)([0-9a-f]{2})|\\u\{0{0,4}([0-9a-f]{2})\}"
    r"|\\(?=[a-z])|</?[a-z_]{1,3}>|/\*\*/",
    re.IGNORECASE,
)
_SPLIT = ("\\", "'+", '"+', "+'", "' +", '" +', '+"', "||", "&&", "/**/", "</")
_WORDS = (
    "alert", "eval", "script", "document", "location", "constructor", "iframe", "expression",
)  # fmt: skip
_COMMENT = re.compile(r"/\*[^*]{0,60}+\*/|\\(?=[a-z])|\x00")
_XML_ENTITY = re.compile(r"<!entity\s[^>]{0,60}?(?:system|public|[\"'])", re.IGNORECASE)
_INSTRUCTION = re.compile(
    r"<\?(?:xml-stylesheet|xml:namespace|import)|<!\[cdata\[|<!--\[if|<!--#exec", re.IGNORECASE
)


def find_xss(text: str) -> Iterator[Hit]:
    """Find what a browser would run in one view of a text, in time linear in its length."""
    lower = text.lower()
    if mentions(lower, ("<", r"\x3c", r"\u003c", "+adw-", "\xbc", "\udcbc")):
        for tag in _TAG.finditer(text):
            yield from _element(text, tag)
        yield from _search(text, ENTITY, _XML_ENTITY)
        yield from _search(text, INSTRUCTION, _INSTRUCTION)
    if "=" in text:
        yield from _search(text, BREAKOUT, _BREAKOUT)
    if mentions(text, _SPLIT):
        yield from _taken_apart(text, lower)
    if ":" in text and mentions("".join(lower.split()), ("script:", "data:")):
        yield from _search(text, ADDRESS, _BARE_ADDRESS)
    if mentions(text, "(`=[\\&"):
        for pattern, needed in _CODE:
            if mentions(lower, needed) and (match := pattern.search(text)):
                yield Hit(CODE, *match.span())
                break


def _taken_apart(text: str, lower: str) -> Iterator[Hit]:
    together = plain(text, _APART, lambda match: chr(int(match[1] or match[2] or "0", 16) or 0))
    found = together.text.replace("\x00", "").lower()
    for word in _WORDS:
        if word in found and found.count(word) > lower.count(word):
            yield Hit(HIDDEN, 0, len(text))
            return


def _search(text: str, rule: Rule, pattern: re.Pattern[str]) -> Iterator[Hit]:
    if match := pattern.search(text):
        yield Hit(rule, *match.span())


def _element(text: str, tag: re.Match[str]) -> Iterator[Hit]:
    name = tag[1].lower().replace("\x00", "").replace("\\0", "").rpartition(":")[2]
    at, attributes = tag.end(), 0
    while match := _ATTRIBUTE.match(text, at):
        at = match.end()
        value = match["value"]
        attributes += 1 if value is None else 2
        if value is not None and (rule := _attribute(match["name"].lower(), value)):
            yield Hit(rule, *match.span())
    if name in _SCRIPTED and (
        attributes or not (name in _PLACEHOLDERS or _IN_PROSE.match(text, tag.end()))
    ):
        yield Hit(SCRIPT, *tag.span())
    if name in _ACTIVE and (attributes > 1 or (name == "style" and text.startswith(">", at))):
        yield Hit(ACTIVE, tag.start(), at)


def _attribute(name: str, value: str) -> Rule | None:
    if (name.startswith("on") and len(name) > 4 and name.isalpha()) or name in _RUNS:
        return HANDLER
    if name not in _ADDRESSED and "href" not in name:
        return None
    bare = _BLANK.sub("", value).lstrip(_MARKS)
    find = _SCRIPT_ADDRESS.search if name in ("content", "values") else _SCRIPT_ADDRESS.match
    if find(bare):
        return ADDRESS
    if name != "style" and _DECEPTIVE.match(value.strip(" \"'`;\\")):
        return LINK
    if name == "style" and _STYLE.search(_COMMENT.sub("", value)):
        return STYLE
    return None
