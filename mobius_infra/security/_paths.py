"""Path traversal and the reading of files: does the text leave the directory that it names?

A message may mention `/etc/passwd` or `../src`; a value that is nothing but such a path may not.
So one step up, or a file of the system, counts where no space surrounds it.
"""

import re
from collections.abc import Iterator

from mobius_infra.security._rules import CRITICAL, WARNING, Hit, Plain, Rule, mentions, plain


def _rule(what: str, score: int, why: str, level: int = 1) -> Rule:
    return Rule(f"path.{what}", "path", score, why, level)


# Overlong UTF-8, as percent decoding leaves it (bytes that are no UTF-8 become U+DC80 to U+DCFF),
# hexadecimal escapes, and the slashes of other scripts. One character stands for what old servers
# make of it.
_DISGUISE = re.compile(
    "[\udcc0\udcc1][\udc80-\udcbf./\\\\]|\udce0\udc80[\udc80-\udcbf]|\udcf0\udc80\udc80[\udc80-\udcbf]"
    "|0x(?:2e|2f|5c)|(?<=[.2fc])(?:2f|5c)(?=\\.\\.)|(?<=\\.\\.)(?:2f|5c)|[\u2215\u2044\u2216\uff0f\uff3c\uff0e]|\\\\u00(?:2e|2f|5c)|\\\\x(?:2e|2f|5c)"
)
_STRANGE = "\udcc0\udcc1\udce0\udcf0\u2215\u2044\u2216\uff0f\uff3c\uff0e"
_PLAIN = {
    "\u2215": "/",
    "\u2044": "/",
    "\u2216": "\\",
    "\uff0f": "/",
    "\uff3c": "\\",
    "\uff0e": ".",
}

_STEP = r"(?:\.{2,8}+|\.\x00\.)[\s\x00-\x1f;?#]{0,2}+[/\\]"
# Ways of writing a dot or a slash that nothing honest uses: overlong, or percent signs on percent
# signs. Seen in the text as it came.
_ENCODED = re.compile(
    r"%c[01]%[0-9a-z]{2}|%(?:e0|f0|f8|fc)%80|%%3\d|%25%5c|%bg%|(?:0x2e){2}|(?:x2e0x2e){2}|(?:^|[/\\.=])(?:Li4v){1,}|^(?:L2V0Yy9|L3Byb2Mv|L3Zhci9|ZXRjL3)"
    r"|%u(?:efc8|f025|ff0e|ff0f|ff3c|221[56]|00(?:2e|2f|5c))",
    re.IGNORECASE,
)
# Three steps are honest almost nowhere; two are in talk about building programs, so that they only
# count if they lead to a file that attackers ask for. Only slashes may stand between: dots there
# would be those of the next step.
_CLIMB = re.compile(rf"(?:{_STEP}[/\\]{{0,8}}+){{3}}")
_TWO_STEPS = re.compile(rf"(?:{_STEP}[/\\]{{0,8}}+){{2}}\S{{0,80}}+")
_ONE_STEP = re.compile(
    rf"(?:^|[=/\\:.]){_STEP}|[/\\]\.\.$|(?:\.{{1,4}}[/\\]{{1,3}}){{3}}|\.(?:\\/|/\\)"
    # only dots, as old servers of Windows counted them, and names so long that the end is cut off
    r"|^[/\\]\.{3}|\.{5}[/\\]{0,9}+(?:etc|boot|win|web-inf)|^[/\\](\w)\1{99}"
)

# An absolute path, and nothing else: of Unix, of macOS, of Windows, or a hidden file at the root.
_SYSTEM = re.compile(
    r"(?:^|[=:'\"|,])(?:file:)?[/\\.]*+(?:private/)?(?:"
    r"(?:etc|proc|sys|root|boot|dev|selinux)[/\\]+[\w.-]"
    r"|var[/\\]+(?:log|www|run|lib|mail|spool|adm|cpanel|tmp|backups|local|db|webmin|apache2?)\b"
    r"|(?:usr|opt)[/\\]+(?:local[/\\]+|home\d?[/\\]+)?(?:etc|apache\w*|nginx|httpd?|php\d?|lib"
    r"|conf|lampp|xampp|tomcat|mysql|pkg|share|pgsql|psa|cpanel|lsws|ports)\b"
    r"|(?:home|users)[/\\]+[^/\\]{1,40}[/\\]+\.\w|(?:apache2?|xampp|logs?|mysql|php\d?|appserv"
    r"|wamp)[/\\]++[\w./\\-]{0,60}\.(?:log|conf|ini|cnf|err|inc|xml|php|txt)"
    r"|(?:windows|winnt|inetpub|boot\.ini|recycler|minint|program files|\$recycle\.bin)\b)"
    r"|^(?:/private)?/(?:var|usr|opt|home|tmp|s?bin|lib(?:64|32|exec)?|srv|mnt|media|run|library|system"
    r"|applications|volumes|users|data|network|apache2?|nginx|jffs|storage)/+[\w.*-]"
    r"|^[/\\]+\.[a-z]\w|(?:^|[=:/\\])[a-z]:[/\\]+[\w$.%*-]|^[a-z]:(?:boot\.ini|windows|winnt)",
    re.IGNORECASE,
)
_SECRET = re.compile(
    r"etc(?:[/\\]+|2f)(?:passwd|shadow|group|hosts|issue|motd|sudoers|crontab|fstab|ssh)\b|\bboot\.ini"
    r"|\bwin\.ini"
    r"|proc[/\\]+(?:self|\d+|version|cmdline)[/\\]?|system32[/\\]|(?:web|meta)-inf(?:[/\\]|web\.xml)"
    r"|\.(?:htpasswd|htaccess|bash_history|ssh[/\\]|git[/\\](?:config|head)|env$|aws[/\\]"
    r"|mysql_history|svn[/\\])"
    r"|(?:^|[/\\])(?:(?:access|error)[._-]?log\b|httpd\.conf|php\d?\.ini|my\.(?:cnf|ini)$)"
    r"|^[/\\.]*+(?:master\.passwd|\.?passwd(?:\.dat|\.txt)?|shadow|\.(?:bash\w{2,10}|netrc|forward|rhosts"
    r"|\w{1,4}_history|profile|npmrc|pgpass|dockercfg|kube[/\\]))$|id_(?:rsa|dsa|ed25519|ecdsa)\b|wp-config\.php|global\.asa|web\.config",
    re.IGNORECASE,
)
_NEEDED = (
    "etc", ".ini", "proc", "system32", "-inf", ".ht", "_h", ".ssh", ".git", ".env", ".aws", ".svn",
    "access", "error", "httpd.conf", "my.cnf", "id_", "wp-config", "global.asa", "web.config",
    "passwd", "shadow", ".netrc", ".forward", ".rhosts", ".bash", "hist", ".profile", ".npmrc",
    ".pgpass", ".dockercfg", ".kube",
)  # fmt: skip
_WRAPPER = re.compile(
    r"\b(?:php://(?:filter|input|fd|memory|temp|stdin|output)|(?:phar|expect|zip|rar|ogg|ssh2"
    r"|compress\.\w+|netdoc"
    r"|gopher|dict)://\S|data://?text/|convert\.(?:iconv|base64|quoted)[.-]\w)|^(?:file|glob|jar|ldaps?|tftp|sftp):/?/",
    re.IGNORECASE,
)
_SHARE = re.compile(
    r"^[\"']?\\\\[\w.-]{1,80}\\[\w$.]|^//(?:localhost|127\.0\.0\.1|\d+\.\d+\.\d+\.\d+)/\w",
    re.IGNORECASE,
)
# A file of Windows may have a few spaces in its path.
_FOLDER = re.compile(r"(?:[a-z]:|\.\.)?[/\\](?:[^\s]*+\s){0,4}+[^\s]*+$", re.IGNORECASE)
_NUL = re.compile(r"[/\\.\w]\x00\.?\w{0,5}$")

# No path in a sentence can do without one of these.
_MARKS = ("/", "\\", "0x2", "\x00", "%", "..2", "..5")

_CLIMBS = _rule("climb", CRITICAL, "three steps up, or two to a file that attackers ask for")
_CLIMBS_ONCE = _rule("step", CRITICAL, "a path with a step up")
_READS = _rule("system-file", CRITICAL, "a path of the system, and nothing else")
_NAMES = _rule("sensitive-name", WARNING, "the name of a file that attackers ask for")
_WRAPS = _rule("wrapper", CRITICAL, "an address that reads files or runs programs")
_SHARES = _rule("share", CRITICAL, "a share of another machine")
_HIDES = _rule("encoded", CRITICAL, "a dot or slash written as nothing honest writes it")
_ENDS = _rule("nul", CRITICAL, "a path cut off by a NUL")


def find_path(text: str) -> Iterator[Hit]:
    """Find path traversal in one view of a text, in time linear in its length."""
    strange = not text.isascii() and mentions(text, _STRANGE)
    if " " in text and not strange and not mentions(text, _MARKS):
        return
    if strange or mentions(text, ("0x", "2f", "5c", "2F", "5C", "\\u00", "\\x")):
        shown = plain(text, _DISGUISE, _reveal)
    else:
        shown = Plain(text, [], [])
    lower = shown.text.lower()
    if ("%" in text or "Li4v" in text or " " not in text) and (match := _ENCODED.search(text)):
        yield Hit(_HIDES, *match.span())
    table = [(_SHARES, _SHARE)]
    if mentions(lower, ("..", ".\x00.")) and (climb := _climb(shown.text)):
        yield Hit(_CLIMBS, *shown.span(*climb.span()))
    if ":/" in lower or "convert." in lower:
        table.append((_WRAPS, _WRAPPER))
    if mentions(lower, _NEEDED):
        table.append((_NAMES, _SECRET))
    bare = shown.text.strip(" \t\r\n\x00")
    # Few words, no sentence: programs and folders of Windows have a space or two in their names.
    if not any(blank in bare for blank in " \n\t") or _FOLDER.match(bare):
        table += [(_CLIMBS_ONCE, _ONE_STEP), (_READS, _SYSTEM), (_ENDS, _NUL), (_READS, _SECRET)]
    for rule, pattern in table:
        if match := pattern.search(shown.text):
            yield Hit(rule, *shown.span(*match.span()))


def _climb(text: str) -> re.Match[str] | None:
    if climb := _CLIMB.search(text):
        return climb
    for climb in _TWO_STEPS.finditer(text):
        if _SECRET.search(text, *climb.span()):
            return climb
    return None


def _reveal(match: re.Match[str]) -> str:
    found = match.group()
    if found in _PLAIN:
        return _PLAIN[found]
    if found in ("2f", "2F"):
        return "/"
    if found in ("5c", "5C"):
        return "\\"
    if found[0] in "0\\":
        return chr(int(found[-2:], 16))
    last = ord(found[-1])
    return chr((ord(found[0]) & 1) << 6 | last & 0x3F) if last > 0x7F else found[-1]
