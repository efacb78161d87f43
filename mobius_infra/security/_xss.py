"""Cross-site scripting: would a browser run something of this text?

The text is read by a small HTML tokeniser, forgiving as browsers are, and then as what follows the
end of an attribute, as an address, and as a piece of a script. Ordinary markup is no finding:
`<b>`, `<user@host>` and `List<T>` pass.
"""

import re
from collections.abc import Iterator

from mobius_infra.security._rules import CRITICAL, Hit, Rule, mentions


def _rule(what: str, score: int, why: str, attack: str = "xss") -> Rule:
    return Rule(f"{attack}.{what}", attack, score, why)


SCRIPT = _rule("script-tag", CRITICAL, "an element that runs or loads code")
ACTIVE = _rule("active-tag", CRITICAL, "an element that changes or leaves the page")
HANDLER = _rule("handler", CRITICAL, "an event handler in an element")
BREAKOUT = _rule("breakout", CRITICAL, "an attribute that is closed and followed by another")
ADDRESS = _rule("address", CRITICAL, "an address that is a script")
STYLE = _rule("style", CRITICAL, "a style that runs or loads code")
CODE = _rule("code", CRITICAL, "a string closed and followed by a call")
ENTITY = _rule("entity", CRITICAL, "an XML entity that reads a file or an address", "xxe")
INSTRUCTION = _rule("instruction", CRITICAL, "an XML instruction or declaration")

_TAG = re.compile(r"(?:<|\\x3c|\\u003c|\+ADw-)[/\s\x00]*+([a-z][^\s/<>\"'=(]*+)", re.IGNORECASE)
_ATTRIBUTE = re.compile(
    r"""[\s/"'`\x00,;)\]}]*+
        (?P<name>[^\s=/"'`<>\x00]++)
        (?:[\s\x00]*+=[\s\x00]*+(?P<value>"[^"]*+"?|'[^']*+'?|`[^`]*+`?|[^\s><]*+))?+""",
    re.VERBOSE,
)

_SCRIPTED = frozenset(
    """script iframe object embed applet frame frameset isindex layer ilayer bgsound portal
    animate animatetransform animatemotion set vmlframe event-source import
    svg math xml""".split()  # noqa: SIM905 - a list of words
)
_ACTIVE = frozenset("base meta link style form".split())  # noqa: SIM905
# Names that are content for some element: they only say something beside an address.
_ADDRESSED = frozenset(
    """href src action formaction data background poster lowsrc dynsrc to from values content
    code codebase xlink:href by folder classid url manifest style srcset rel cite""".split()  # noqa: SIM905
)

_RUNS = frozenset({"srcdoc", "ev:event", "datasrc", "datafld", "fscommand", "seeksegmenttime"})
_BLANK = re.compile(r"[\x00-\x20\x7f\xad\u200b-\u200f\u2028\u2029\u3000\\]+")
_SCRIPT_ADDRESS = re.compile(
    r"(?:java|vb|live|j|moc)script:|mhtml:|data:(?:text/(?:html|xml|javascript)|image/svg"
    r"|[^,a-z]*+[,;]"
    r"|application/)|(?:feed|view-source|jar):(?:java|data)|mocha:",
    re.IGNORECASE,
)
_BARE_ADDRESS = re.compile(
    r"(?:^|[=\"'`(>,;&|\s])(?:j\s*a\s*v\s*a|v\s*b"
    r"|live)\s*s\s*c\s*r\s*i\s*p\s*t\s*:[^\s]{0,200}?[(=`/%\\]"
    r"|(?:^|[=\"'(\s])data:(?:text/html|image/svg\+xml|text/javascript)[,;]",
    re.IGNORECASE,
)
_STYLE = re.compile(
    r"expression(?:/\*.{0,40}?\*/)?\(|-moz-binding|behaviou?r:|@import|binding\s*:|url\("
    r"|[{}\\]",
    re.IGNORECASE,
)
_HANDLERS = (
    r"on(?:error|load\w*|click|dblclick|mouse\w{2,10}|focus(?:in|out)?|blur|key(?:up|down|press)"
    r"|change"
    r"|submit|reset|toggle|input|invalid|select\w*|drag\w*|drop|copy|cut|paste|before\w+|after\w+"
    r"|pointer\w+|touch\w+|animation\w+|transition\w+|wheel|scroll\w*|resize|message\w*|hashchange"
    r"|page\w+|popstate|storage|unload|play\w*|pause|ended|canplay\w*|readystatechange|begin|end"
    r"|repeat|show|search|start|finish|bounce|contextmenu|auxclick|propertychange|activate"
    r"|filterchange)"
)
_BREAKOUT = re.compile(
    rf"[\"'`][^<>\"'`]{{0,60}}?(?:\b{_HANDLERS}|\bstyle\s*=[^=]*?(?:expression|url)\s*\("
    rf"|\bsrcdoc)\s*+"
    rf"(?:=|[\"'`(])|^[^\s<]{{0,40}}\s*\b{_HANDLERS}\s*+=\s*+[^\s=]",
    re.IGNORECASE,
)
_CALLS = (
    r"(?:alert|prompt|confirm|eval|atob|set(?:timeout|interval)|document\s*\.\s*\w+"
    r"|window\s*[.\[]|(?:top|self|parent|this|globalthis|frames)\s*\[|string\.fromcharcode"
    r"|\[\]\s*\[|location\s*[.=]|\$\.get\w*|throw\s|on\w+\s*=)"
)
_CODE = re.compile(
    rf"[\"'`\]}})/\\][\s)}}\]]{{0,16}}+(?:[-+*/;,^|&<>=?%!~]|\x0a"
    rf"|\bin\b)[\s(\-+;,!~{{}}/*]{{0,16}}+{_CALLS}\s*+"
    r"(?:\(|`|\\|&|[\[=.\"'])"
    rf"|^[\s;(\-+!~)}}]*+(?:alert|prompt|confirm|eval)\s*+(?:\(|`)[^()\s]{{1,40}}[)`]"
    r"|(?:alert|prompt|confirm|eval)[)\]]*+\s*+(?:\(|`)\s*+[/\"'`]?(?:1|xss|document|kcf|\d+"
    r"|string)\b"
    r"|\b(?:top|self|window|parent|frames|globalthis)\[[\"'/]|\[\d\]\.(?:find|map|sort)\(\w"
    r"|\.constructor\s*\(|\[[\"']constructor[\"']\]|(?:document"
    r"|window)(?:\.\w{1,30}){0,4}\.(?:cookie|domain|write\s*\()"
    r"|string\.fromcharcode\s*\(\s*\d+\s*,|\bsrcdoc\s*=\s*[\"']?<",
    re.IGNORECASE,
)
_XML_ENTITY = re.compile(r"<!entity\s[^>]{0,200}?(?:system|public|[\"'])", re.IGNORECASE)
_INSTRUCTION = re.compile(
    r"<\?(?:xml-stylesheet|xml:namespace|import)|<!\[cdata\[|<!--\[if|<!--#exec", re.IGNORECASE
)

_NAMES = (
    "alert", "prompt", "confirm", "eval", "atob", "settimeout", "setinterval", "document", "window",
    "top[", "self[", "parent[", "this[", "frames[", "window[", "].find(", "].map(", "].sort(",
    "fromcharcode", "[]", "location.", "location=",
    ".get", "throw", "constructor", "srcdoc",
)  # fmt: skip


def find_xss(text: str) -> Iterator[Hit]:
    """Find what a browser would run in one view of a text, in time linear in its length."""
    lower = text.lower()
    if mentions(lower, ("<", r"\x3c", r"\u003c", "+adw-")):
        for tag in _TAG.finditer(text):
            yield from _element(text, tag)
        yield from _search(text, ENTITY, _XML_ENTITY)
        yield from _search(text, INSTRUCTION, _INSTRUCTION)
    if "=" in text:
        yield from _search(text, BREAKOUT, _BREAKOUT)
    if ":" in text and mentions("".join(lower.split()), ("script:", "data:")):
        yield from _search(text, ADDRESS, _BARE_ADDRESS)
    if mentions(text, "(`=[\\") and (mentions(lower, _NAMES) or ("on" in lower and "=" in text)):
        yield from _search(text, CODE, _CODE)


def _search(text: str, rule: Rule, pattern: re.Pattern[str]) -> Iterator[Hit]:
    if match := pattern.search(text):
        yield Hit(rule, *match.span())


def _element(text: str, tag: re.Match[str]) -> Iterator[Hit]:
    name = tag[1].lower().replace("\x00", "").rpartition(":")[2]
    if name in _SCRIPTED:
        yield Hit(SCRIPT, *tag.span())
    at, attributes = tag.end(), 0
    while match := _ATTRIBUTE.match(text, at):
        at = match.end()
        value = match["value"]
        attributes += 1 if value is None else 2
        if value is not None and (rule := _attribute(match["name"].lower(), value)):
            yield Hit(rule, *match.span())
    if name in _ACTIVE and (attributes > 1 or (name == "style" and text.startswith(">", at))):
        yield Hit(ACTIVE, tag.start(), at)


def _attribute(name: str, value: str) -> Rule | None:
    if (name.startswith("on") and len(name) > 4) or name in _RUNS:
        return HANDLER
    if name not in _ADDRESSED and "href" not in name:
        return None
    bare = _BLANK.sub("", value).lstrip("\"'`")
    find = _SCRIPT_ADDRESS.search if name in ("content", "values") else _SCRIPT_ADDRESS.match
    if find(bare):
        return ADDRESS
    if name == "style" and _STYLE.search(value):
        return STYLE
    return None
