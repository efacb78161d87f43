"""SQL injection: does the text go on where a value should have ended, and change the query?

The text is read as it is and as it would be inside each kind of quotes, and becomes a fingerprint
of letters (see `_sql_lexer`). A few patterns over the letters, not over the text, tell a
condition, a second query or a cut-off remainder from a sentence that happens to use the words:
English puts words side by side, SQL puts something between two values.
"""

import re
from collections.abc import Iterator

from mobius_infra.security._rules import CRITICAL, ERROR, WARNING, Hit, Rule, mentions
from mobius_infra.security._sql_lexer import ATTACKS, QUOTES, Token, fingerprint, tokens


def _rule(what: str, score: int, why: str, level: int = 1) -> Rule:
    return Rule(f"sqli.{what}", "sqli", score, why, level)


# E is what an expression looks like without its parentheses: values with operators between them,
# and commas only after a call.
_V = "[nsvwfFD]"
_E = rf"A*+(?:{_V}|Q[^US;]{{0,20}}+)(?:A++{_V}|,A*+[nsvwfF]|(?<=[fF])A*+[nsvwfF])*+"

# Looked for at any place.
_ANYWHERE = [
    (_rule("union", CRITICAL, "a second query joined to the first"),
     r"UA*+(?:Q|S(?:A*[nsvfFQ,c?]|A|w(?:[,cDCAf;]|$)|D|$))"),
    (_rule("union-from", ERROR, "what reads like a second query"), r"UA?SwK"),
    (_rule("subquery", CRITICAL, "a query inside an expression"),
     rf"Q{_E}(?:K(?:[wvD]|Q)|$|[CLc;])"),
    (_rule("call", CRITICAL, "a call that only waits, reads files or reaches out"),
     r"(?:[LCRAUSQO]|^[ns][,;])F[nsvwfF,AQSD]|[fF,]A?F[nsvwfQ]"),
    (_rule("schema", CRITICAL, "a query of the database's own catalogue"), r"[SQ][^;]{1,60}KD"),
    (_rule("stacked", CRITICAL, "a second statement after a semicolon"),
     r";X[wDvsf]|;[EK]v|;E(?:[wDFf][vsnpwf]|c|$)|;S(?:A|[nvfF]|w[,K])"),
    (_rule("spelled", CRITICAL, "a string spelled out by calls"), r"(?:fnL){2}fn"),
    (_rule("outfile", CRITICAL, "a result written to a file"), r"(?:^|[nwsDSA;])X[sn](?:c|$)"),
    (_rule("where", CRITICAL, "a whole query with a condition"), r"[SQX][^;]{1,60}K[wD]KwC"),
    (_rule("all-columns", CRITICAL, "a query of all columns"), r"^SAK[wD]"),
    (_rule("statement", WARNING, "a whole statement"), r"^(?:S[^;]{1,60}?K[wD]|X[wDv])"),
    (_rule("values", CRITICAL, "a query that computes"),
     r"^A*[SQ](?:A*[nsv](?:[,cK;]|$)|f[nsvwfAKD,]{0,40}?K[wD]|v)"),
]  # fmt: skip

# After a string that the text has closed.
_CLOSED = [
    (_rule("condition", CRITICAL, "a condition added after a value"),
     (rf"^s(?:A++[nsvw]?)?(?:L{_E})*?L(?:A*F|{_E}(?:C|R[sfQ]|R?A?R?[ns]|c|$))"
     rf"|^p(?:L{_E})*?L(?:A*F|{_E}[Cc])")),
    (_rule("operand", CRITICAL, "a value that an operator turns into a condition"),
     rf"^s[AC](?:{_E})?(?:[CLR]A*[nsvfFQ]|c|$)|^s[AC]+[fFQ]|^sR+A*[fsQ]"),
    (_rule("clause", CRITICAL, "a clause added after a value"), r"^[sp]O[nwf](?:[,cCnL;O]|$)"),
    (_rule("second-query", CRITICAL, "a query joined to a value"), r"^[sp];?U(?:A*[SQ]|$)"),
    (_rule("list", ERROR, "a value list continued"), r"^s(?:,A?[nsvfF])+c"),
    (_rule("stack", CRITICAL, "a statement ended inside a value"),
     r"^[sp];(?:X|S|[EK]v|F|c|E[wDFf])|^sX[wDf].*[cf]|^sE[wDfv][s,v]"),
]  # fmt: skip

# After a number or a word that stands where a number should.
_BARE = [
    (_rule("number-condition", CRITICAL, "a condition added after a number"),
     (rf"^[Av]?[nvD](?:A[nsvw])?,?(?:L{_E})*?L(?:{_E}(?:C[nsvwfFQD]|R[sfQ]|A*C)|[QS][^;]*?K)"
     r"|^[nv]L[sf]|^nLA*nc")),
    (_rule("word-condition", CRITICAL, "a condition that is always true or false"),
     r"^LA?[ns]Cf|^On(?:,n)*+c|^w?(?:LA?[ns]C[ns])+(?:c|$)|^wL[ns]C[ns][LUOc]|[cLUO]A*nCn(?:c|$)"),
    (_rule("number-clause", CRITICAL, "a clause added after a number"),
     r"^A?nO(?:n|w?c|f|n?,)(?:[,c]|$|n)"),
    (_rule("number-query", CRITICAL, "a query joined to a number"), r"^[Av]?n;?U(?:A*[SQ]|c?$)"),
    (_rule("number-call", CRITICAL, "a call in place of a number"), r"^A?n?[;A]?F[ns]"),
]  # fmt: skip


def _compiled(table: list[tuple[Rule, str]]) -> list[tuple[Rule, re.Pattern[str]]]:
    return [(rule, re.compile(pattern)) for rule, pattern in table]


_ALWAYS, _IN_QUOTES, _OUTSIDE = _compiled(_ANYWHERE), _compiled(_CLOSED), _compiled(_BARE)

_CUT = _rule("cut", CRITICAL, "a value closed and the rest of the query commented out")
_CUT_OFF = re.compile(r"^[^\s'\"]{0,40}+['\"][\s)]*+;?\s*+(?:--[\s\-+]*+|\#|/\*)\s*+$")


# What the rules for any place cannot do without; the rest is not worth reading.
_WORTH = (
    "select", "union", "intersect", "except", "minus", "chr(", "char(", "outfile", "dumpfile",
    "drop", "exec", "declare", "insert", "delete", "truncate", "alter", "create", "waitfor",
    "shutdown", "update", "merge", "replace", "attach", "load", "backup", "reconfigure", ";set",
    *ATTACKS,
)  # fmt: skip
_SIGNS = ("=", "<", ">", "|", "&", "--", "#", "/*", "'", '"', "order", "group", "having", "(")
_AT_NUMBER = re.compile(
    r"[\s\-+~!(]*+(?:['\"@.\d]|null\b|true\b|false\b|\w+\.\.?\w)", re.IGNORECASE
)
_AFTER_QUOTE = re.compile(
    r".[\s\x00)]*+(?:[-+*/%&|^=<>!~;#]|,.*(?:--|\#|/\*)"
    r"|(?:and|or|xor|union|intersect|except|minus|having|limit|offset|procedure|order|group|r?like"
    r"|regexp|in|between|is|not|ilike|similar|glob|match|sounds|div|mod|collate)(?![^\W_]))",
    re.IGNORECASE | re.DOTALL,
)


def find_sql(text: str) -> Iterator[Hit]:
    """Find SQL injection in one view of a text, in time linear in its length."""
    lower = text.lower()
    worth = mentions(lower, _WORTH)
    if worth or mentions(text, "=<>") or (_AT_NUMBER.match(text) and mentions(lower, _SIGNS)):
        yield from _judged(tokens(text), _OUTSIDE)
    for quote in QUOTES:
        at = text.find(quote)
        if at >= 0 and (worth or _AFTER_QUOTE.match(text, at)):
            yield from _judged(tokens(text, quote), _IN_QUOTES)
    if match := _CUT_OFF.match(text):
        yield Hit(_CUT, *match.span())


def _judged(found: list[Token], table: list[tuple[Rule, re.Pattern[str]]]) -> Iterator[Hit]:
    letters = fingerprint(found)
    for rules in (_ALWAYS, table):
        for rule, pattern in rules:
            if match := pattern.search(letters):
                first, last = match.start(), max(match.end() - 1, match.start())
                yield Hit(rule, found[first].start, found[last].end)
