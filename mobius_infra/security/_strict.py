"""What only the paranoia levels 2 to 4 look for: fragments, words and signs that may be honest.

Level 2 finds pieces that an attacker tries first: a stray quote, an element with an attribute, a
program's name alone. Level 3 finds the words and marks themselves, level 4 the single signs, for
fields that hold nothing but a number or a name.
"""

import re
from collections.abc import Iterator

from mobius_infra.security._rules import CRITICAL, Hit, Rule

# Class, rule, level, why, pattern. Each begins with a sign or at the start, so that the time is
# linear: nothing unbounded stands before what may fail.
_SPECS = (
    ("sqli", "stray-quote", 2, "a value that ends in a quote",
     r"^[\w.@%-]{0,40}+\\?['\"`]{1,3}[)\s;]{0,4}+$"),
    ("sqli", "quote-word", 2, "a quote and a word of conditions",
     r"['\"`)]\s{0,4}(?:or|and|xor|union|having|order|group|limit|like|where|\|\||&&)(?:\W|$)"),
    ("sqli", "bare-condition", 2, "a condition without its beginning",
     (r"^\W{0,6}(?:or|and|xor|\|\||&&)\W{1,4}(?:true|false|null|not|exists|\d{1,20}|\w{1,30}\s?[=<>])"
     r"|^\W{0,4}\d{1,20}\s(?:or|and|xor|not|div)\s\w{1,20}$|^\d{1,20}[-+*/]\d{1,20}$")),
    ("sqli", "comment", 2, "a value cut off by a comment",
     r"^\S{0,40}\s?(?:--|#|/\*)[^a-z]{0,3}$"),
    ("sqli", "batch-start", 2, "the beginning of a statement",
     (r"^\W{0,4}(?:select|insert|update|delete|drop|create|alter|declare|exec|execute|truncate|grant"
     r"|union|copy|backup|print|waitfor)\s{1,4}[\w@*'\"(]{1,60}")),
    ("sqli", "words", 3, "words of SQL",
     (r"\b(?:select|union|insert|update|delete|drop|truncate|exec|having|sleep|benchmark|waitfor"
     r"|procedure|handler|information_schema|char|concat|version|order\sby|group\sby)\b")),
    ("sqli", "sign", 4, "a sign that means something to SQL", r"['\"`;#=]|--|/\*"),
    ("xss", "element", 2, "an element with an attribute, or one that shapes the page",
     r"<[a-z][a-z0-9:-]{0,20}\s[^<>]{0,80}=|</?(?:html|head|body|form|input|img|a|div|button)\b"),
    ("xss", "written-sign", 2, "nothing but a sign of markup, written as an entity",
     r"^(?:&(?:#0{0,9}60|#x0{0,9}3c|lt);?\s?){1,9}$"),
    ("xss", "script-words", 3, "words of scripts",
     r"\bon[a-z]{4,20}\b\s?=?|\b(?:alert|eval|document|window|javascript|fromcharcode)\b"),
    ("xss", "any-element", 3, "an element", r"</?[a-z!?]"),
    ("xss", "sign", 4, "a sign that means something to HTML", r"[<>]"),
    ("path", "name", 2, "the name of a file that programs keep to themselves",
     (r"^[/\\.\w-]{0,80}\b(?:config|configuration|settings|database|dbase|db|data|install|setup"
     r"|wp-\w{1,20}|passwd|pass|users|admin)[\w.]{0,12}\.(?:php\d?|inc|aspx?|jsp|js|cfg|conf|dat|db"
     r"|xml|ya?ml|json)$")),
    ("path", "up", 2, "a step up, in a value without blanks",
     r"^[^\s]{0,80}?\.\.[/\\]?[^\s]{0,80}$"),
    ("path", "program-file", 3, "the name of a program or of a file of settings",
     r"^\S{0,80}\.(?:php\d?|aspx?|jsp|cgi|ini|conf|cfg|log|bak|old|sql|env|sh|bat|exe|dll|htaccess)$"),
    ("path", "sign", 4, "a slash", r"[/\\]"),
    ("command", "name", 2, "the name of a program, and nothing else",
     (r"^\W{0,3}(?:ls|dir|id|pwd|cat|ps|env|set|who|w|route|ver|arp|net|ping|echo|date|uptime|wget"
     r"|curl|bash|sh|cmd|nc|history|reboot|shutdown)\W{0,3}$")),
    ("command", "separator", 2, "a separator and a word right behind it",
     r"^\S{0,40}\s?(?:[;|`]|&&|\$\()\s?[a-z./][\w./-]{1,40}"),
    ("command", "separators", 3, "separators of commands", r"[;|`]|&&|\$[({]"),
    ("command", "sign", 4, "a sign that means something to a shell", r"[;|&`$<>\\!*?~{}\[\]]"),
)  # fmt: skip

_TABLE = tuple(
    (
        Rule(f"{attack}.{what}", attack, CRITICAL, why, level),
        re.compile(pattern, re.IGNORECASE),
    )
    for attack, what, level, why, pattern in _SPECS
)


def find_strict(text: str) -> Iterator[Hit]:
    """Find what is only worth a look from level 2 on in one view of a text, in linear time."""
    for rule, pattern in _TABLE:
        if match := pattern.search(text):
            yield Hit(rule, *match.span())
