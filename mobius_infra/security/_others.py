"""Template, header, NoSQL and LDAP injection, and what tries to instruct a language model.

Each is a shape that has no place in a value. Instructions to a model are reported and never block:
nobody can tell them from talk about them.
"""

import re
from collections.abc import Iterator

from mobius_infra.security._rules import CRITICAL, NOTICE, WARNING, Hit, Rule, mentions

# Class, rule, score, why, pattern, paranoia level, and what the pattern cannot do without.
_SPECS: tuple[tuple[str, str, int, str, str, int, tuple[str, ...]], ...] = (
    ("template", "computed", CRITICAL, "an expression that a template engine would compute",
     (r"(?:\{\{|\$\{|#\{|<%=?|\*\{|@\(|\[\[\$?\{|\{%|~\{"
     r"|\{)[\s=\-(]{0,8}+['\"]?\d+['\"]?\s?[*+/-]\s?['\"]?\d+['\"]?[\s)]{0,4}"
     r"(?:\}\}|\}|%>|\)|\]\])"), 1,
     ("{", "<%", "@(", "[[")),
    ("template", "reaches-out", CRITICAL, "an expression that leaves the template",
     (r"(?:\{\{|\$\{|#\{|<%|\*\{|\{%)[^{}]{0,120}?(?:__\s?\w{3,20}\s?__|constructor|\bself\."
     r"|\brequest[.|\[]|\bconfig\b[.|\s}\[]"
     r"|lipsum|cycler|joiner|namespace\(|getClass|forName|T\(\s*java|_self|\.env\b"
     r"|registerUndefinedFilterCallback"
     r"|freemarker|\bnew\(|['\"]\s*\|\s*(?:attr|filter|map)|File\.|`|system|exec|popen|import\s"
     r"|\|\s*(?:safe|debug|dump))"), 1,
     ("{", "<%")),
    ("template", "directive", CRITICAL, "a directive of a template engine",
     (r"<#(?:assign|list|include)\s|#set\s?\(\s?\$|\{php\}|\{%\s*(?:import|include|debug|load"
     r"|extends|set\s)|\{\{\s?debug\s?\}\}"), 1,
     ("<#", "#set", "{php", "{%", "{{")),
    ("template", "any", WARNING, "marks of a template engine", (r"\{\{[^{}]{1,200}\}\}"
        r"|\$\{[^{}]{1,200}\}|<%"), 2,
     ("{", "<%")),
    ("header", "split", CRITICAL, "a line end followed by a header",
     (r"^(?!-)\S{0,200}?[\r\n\u560a\u560d]+\s?(?:http/1\.\d\s|(?:set-cookie|location"
     r"|content-(?:type|length|disposition)|x-[\w-]{1,30}|host|refresh"
     r"|transfer-encoding|access-control-[\w-]{1,30}|bcc|cc|to|from|subject)\s?:)"), 1,
     ("\r", "\n", "\u560a", "\u560d")),
    ("nosql", "operator", CRITICAL, "an operator of a document database in place of a value",
     (r"[\[{\"'.,(]\s?\$(?:ne|eq|gte?|lte?|n?in|regex|where|exists|or|and|not|nor|expr|function"
     r"|type|all|size|comment|elemMatch)"
     r"[\"'\]]{1,2}\s?[:=\]]|[{,]\s?\$(?:ne|gte?|lte?|n?in|regex|where|exists|or|and|expr)\s?:"
     r"|\$where\s?[:=]\s?['\"]"), 1,
     ("$",)),
    ("nosql", "script", CRITICAL, "a script for a document database",
     (r"['\"]\s?[)}]{0,2}\s?;\s?return\s(?:true|\(?true|'|\d)|\bthis\.\w{1,30}\s?(?:==|!="
     r"|\.match)[^;]{0,80}?(?:\|\||&&|['\"/])|;\s?while\s?\(\s?(?:true|1)\s?\)"), 1,
     ("return", "this.", "while")),
    ("ldap", "filter", CRITICAL, "a filter closed and another begun",
     (r"^[^\s()]{0,40}\)\s?\(\s?[|&!]?\s?\(?\s?\w{1,30}\s?[~<>]?=|^\*?\)\)?\(?[|&]|[*)(]\s?\(["
         r"|&!]\s?\(?\w{1,30}\s?=[*\w]|^\*\)\(|^\(?["
     r"|&!]\(\w{1,30}=\*"), 1,
     (")(", ") (", "*)", "(|", "(&", "|", "&", "(!")),
    ("prompt", "instruction", NOTICE, "what reads like instructions to a language model",
     (r"\b(?:ignore|disregard|forget|override)\s(?:\w{1,12}\s){0,3}(?:instructions?|prompts?"
     r"|rules|guidelines|context)\b"
     r"|\bsystem prompt\b|\bdeveloper mode\b|\byou are now (?:dan|in|an? )|\b(?:reveal|repeat"
     r"|print|show)\s(?:\w{1,12}\s){0,2}(?:instructions|prompt)\b"
     r"|<\|(?:im_start|system|endoftext)\|>|\[/?INST\]|\bdo anything now\b|\bjailbreak\b"), 1,
     ("instruction", "prompt", "rules", "guideline", "context", "developer mode", "you are now",
      "inst]", "<|", "do anything", "jailbreak")),
)  # fmt: skip

_TABLE = tuple(
    (
        Rule(f"{attack}.{what}", attack, score, why, level),
        re.compile(pattern, re.IGNORECASE),
        needed,
    )
    for attack, what, score, why, pattern, level, needed in _SPECS
)


def find_others(text: str) -> Iterator[Hit]:
    """Find the shapes in one view of a text, in time linear in its length."""
    lower = text.lower()
    for rule, pattern, needed in _TABLE:
        if mentions(lower, needed) and (match := pattern.search(text)):
            yield Hit(rule, *match.span())
