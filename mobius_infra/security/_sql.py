"""SQL injection: does the text go on where a value should have ended, and change the query?

The text is read as it is and as it would be inside each kind of quotes, and becomes a fingerprint
of letters (see `_sql_lexer`). A few patterns over the letters, not over the text, tell a
condition, a second query or a cut-off remainder from a sentence that happens to use the words:
English puts words side by side, SQL puts something between two values.
"""

import re
from collections.abc import Iterator

from mobius_infra.security._rules import CRITICAL, ERROR, WARNING, Hit, Rule, mentions, plain
from mobius_infra.security._sql_lexer import ATTACKS, QUOTES, Token, fingerprint, tokens


def _rule(what: str, score: int, why: str, level: int = 1) -> Rule:
    return Rule(f"sqli.{what}", "sqli", score, why, level)


# E is what an expression looks like without its parentheses: values with operators between them,
# and commas only after a call.
_V = "[nsvwfFDJ]"
_E = rf"A*+(?:{_V}|Q[^US;]{{0,20}}+)(?:A++{_V}|,A*+[nsvwfF]|(?<=[fF])A*+[nsvwfF])*+"

# Looked for at any place.
_ANYWHERE = [
    (_rule("union", CRITICAL, "a second query joined to the first"),
     r"UA*+(?:Q|S(?:A*[nsvfFQ,c?]|A|w(?:[,cDCAf;]|$)|D|$))"),
    (_rule("union-from", ERROR, "what reads like a second query"), r"UA?SwK"),
    (_rule("union-only", CRITICAL, "a second query and nothing else"),
     r"^[nsvwc]?UA?SwKw(?:[cO;B]|Kw|$)"),
    (_rule("batch", CRITICAL, "a statement and nothing else"), r"^X[wfD][^;]{0,60};$"),
    (_rule("subquery", CRITICAL, "a query inside an expression"),
     rf"Q{_E}(?:K(?:[wvD]|Q)|$|[CLc;])"),
    (_rule("call", CRITICAL, "a call that only waits, reads files or reaches out"),
     r"(?:[LCRAUSQO]|^[ns][,;])F[nsvwfF,AQSD]|[fF,]A?F[nsvwfQ]|[QS][^;]{1,20}KF"),
    (_rule("schema", CRITICAL, "a query of the database's own catalogue"), r"[SQ][^;]{1,40}KD"),
    (_rule("stacked", CRITICAL, "a second statement after a semicolon"),
     r";X[wDvsf]|;[EK]v|;E(?:[wDFfJ][vsnpwf]|s|J|c|$)|;S(?:A|[nvfF]|w[,K])|;X[Kw]{1,3}(?:;|c|$)"),
    (_rule("procedure", CRITICAL, "a procedure of the server called"), r"EJ|J[sv]"),
    (_rule("declare", CRITICAL, "a batch of the server's own language"),
     r"Ev(?:[wf]|$)|(?:^|[nsv;])E[vs]"),
    (_rule("if", CRITICAL, "a query that depends on a condition"), r"f[nsvw]C[nsvw]S|f[ns]C[ns],"),
    (_rule("spelled", CRITICAL, "a string spelled out by calls"), r"(?:fnL){2}fn"),
    (_rule("outfile", CRITICAL, "a result written to a file"),
     r"(?:^|[nwsvDSA;])X[snf](?:[scn,]|$)"),
    (_rule("where", CRITICAL, "a whole query with a condition"), r"[SQX][^;]{1,40}K[wD]KwC"),
    (_rule("all-columns", CRITICAL, "a query of all columns"), r"^SAK[wD]"),
    (_rule("statement", WARNING, "a whole statement"), r"^(?:S[^;]{1,40}?K[wD]|X[wDv])"),
    (_rule("values", CRITICAL, "a query that computes"),
     r"^A*[SQ](?:A*[nsv](?:[,cK;]|$)|f[nsvwfAKD,]{0,40}?K[wD]|v|f[nsvw]{0,4}+(?:[;c]|$))"),
]  # fmt: skip

# After a string that the text has closed.
_CLOSED = [
    (_rule("condition", CRITICAL, "a condition added after a value"),
     (rf"^s(?:A++[nsvw]?)?(?:L{_E})*?L(?:A*F|{_E}(?:C|R[sfQ]|R?A?R?[ns]|c|$))"
     rf"|^p(?:L{_E})*?L(?:A*F|{_E}[Cc])")),
    (_rule("operand", CRITICAL, "a value that an operator turns into a condition"),
     rf"^s[AC](?:{_E})?(?:[CLR]A*[nsvfFQ]|c|$)|^s[AC]+[fFQ]|^sR+A*[fsQ]"),
    (_rule("clause", CRITICAL, "a clause added after a value"),
     r"^[sp][OB]A?[nwfsQ](?:[,cCnL;OBfRK]|A?[nfFwQ]|$)"),
    (_rule("second-query", CRITICAL, "a query joined to a value"), r"^[sp];?U(?:A*[SQ]|$)"),
    (_rule("where", CRITICAL, "another condition, or a whole one"),
     r"^s(?:Kw)?K(?:nCn|sCs|vCv)|^sRww(?:L|;)"),
    (_rule("list", ERROR, "a value list continued"), r"^s(?:,A?[nsvfF])+c"),
    (_rule("stack", CRITICAL, "a statement ended inside a value"),
     r"^[sp];(?:X|S|[EK]v|F|c|E[wDFfJs])|^sX[wDfK].*[cf;]|^sE[wDfvJ][s,v]|^sX[sn]"),
]  # fmt: skip

# After a number or a word that stands where a number should.
_BARE = [
    (_rule("number-condition", CRITICAL, "a condition added after a number"),
     (rf"^[Av]?[nvD](?:A[nsvw])?,?(?:L{_E})*?L(?:{_E}(?:C[nsvwfFQD]|R[sfQ]|A*C)|[QS][^;]*?K)"
     r"|^[nv]L[sf]|^nLA*nc")),
    (_rule("word-condition", CRITICAL, "a condition that is always true or false"),
     r"^LA?[ns]Cf|^LA*[nsvw]C[nsvw]c|^LA*(?:sCs|[ns]R[nsf]|wRf)|^L[fF][nsvwA,]{0,8}+c|^[OB]F|^Bn(?:,n)*+(?:c|$)|^Lnc|^w?(?:LA?[ns]C[ns])+(?:c|$)|^wL[ns]C[ns][LUOc]|[cLUO]A*nCn(?:c|$)"),
    (_rule("number-clause", CRITICAL, "a clause added after a number"),
     r"^A?nA?[OB](?:n|w?c|f|n?,)(?:[,c]|$|n)|^[nv][OB]A*[nfQ]"),
    (_rule("number-query", CRITICAL, "a query joined to a number"), r"^[Av]?n;?U(?:A*[SQ]|c?$)"),
    (_rule("number-call", CRITICAL, "a call in place of a number"),
     r"^A?n?[;A]?F[ns]|^A*nCnAn|^n(?:Kw)?KnCn"),
]  # fmt: skip


def _compiled(table: list[tuple[Rule, str]]) -> list[tuple[Rule, re.Pattern[str]]]:
    return [(rule, re.compile(pattern)) for rule, pattern in table]


_ALWAYS, _IN_QUOTES, _OUTSIDE = _compiled(_ANYWHERE), _compiled(_CLOSED), _compiled(_BARE)

_CUT = _rule("cut", CRITICAL, "a value closed and the rest of the query commented out")
_CUT_OFF = re.compile(
    r"^[^\s'\"]{0,40}+['\"][\s)]*+(?:;?\s*+(?:--[\s\-+]*+|\#|/\*)|;?+[\x00`])\s*+$"
    r"|^[-+(\s]*+\d[\d\s*+/()]{0,20}?(?:--|/\*)\s*+$"
)

# What the rules for any place cannot do without; the rest is not worth reading. Words of English
# need a sign beside them, calls a parenthesis: that is no saving but part of the rules.
_WORTH = (
    "select", "union", "chr(", "char(", "outfile", "dumpfile", "exec", "declare", "waitfor", "xp_",
    "sp_",
)  # fmt: skip
_ORDINARY = (
    "intersect", "except", "minus", "drop", "insert", "delete", "truncate", "alter", "create",
    "shutdown", "update", "merge", "replace", "attach", "load", "backup", "reconfigure", ";set",
    "grant", "revoke", "prepare",
)  # fmt: skip
_SIGNS = ("=", "<", ">", "|", "&", "--", "#", "/*", "'", '"', "order", "group", "having", "(")
_AT_NUMBER = re.compile(
    r"(?:[\s\-+~!()]|/\*(?:[^*]|\*(?!/))*+\*/|\*/)*+(?:['\"@.\d]|(?:null|true|false|or|and|xor|order|group)(?![^\W_])|\|\||&&"
    r"|\w+\.\.?\w)",
    re.IGNORECASE,
)
_AFTER_QUOTE = re.compile(
    r".[\s\x00)]*+(?:[-+*/%&|^=<>!~;#]|,.*(?:--|\#|/\*)|,\s*+\w++\s*+\("
    r"|(?:and|or|xor|union|intersect|except|minus|having|limit|offset|procedure|order|group|r?like"
    r"|regexp|in|between|is|not|ilike|similar|glob|match|sounds|div|mod|collate|where|waitfor\s"
    r"|as\s{1,4}\w{1,20}\s{1,4}where)(?![^\W_]))",
    re.IGNORECASE | re.DOTALL,
)
# Quotes of typesetters: databases with an older character set take them for the plain ones.
_TYPESET = "\u2018\u2019\u02bc\u2032\uff07\u201c\u201d\u2033\u2013"
_CURLY = str.maketrans(_TYPESET, "'" * 5 + '"' * 3 + "-")
_TAUTOLOGY = _rule("tautology", CRITICAL, "a condition that compares a value with itself")
_COMPARED = re.compile(r"L[Anf]{0,3}?([nsvw])C([nsvw])(?=[CcLUBO;n]|A?$)")
_PROGRAMMED = _rule("programmed", CRITICAL, "a case distinction or a block of statements")
_CASE = re.compile(
    r"\bcase\s{1,9}(?:[^\s,.;]{1,30}\s{1,9})?when\s{0,9}"
    r"(?:\(|\d++(?![a-z])|'[^'\s]{0,30}'|\"[^\"\s]{0,30}\"|\w{1,30}\s?[=<>])",
    re.IGNORECASE,
)
_BLOCK = re.compile(
    r";\s{0,9}(?:begin|call|do|perform)\s{1,9}[\w.]{1,60}+\s?\(",
    re.IGNORECASE,
)
_EMPTY = re.compile(r"/\*(?:!\d{5})?\*/")


def find_sql(text: str) -> Iterator[Hit]:
    """Find SQL injection in one view of a text, in time linear in its length."""
    if not text.isascii() and mentions(text, _TYPESET):
        text = text.translate(_CURLY)
    yield from _read(text)
    if "/**/" in text:  # whoever takes comments out joins the two halves of a word
        joined = plain(text, _EMPTY, lambda _: "")
        for hit in _read(joined.text):
            yield Hit(hit.rule, *joined.span(hit.start, hit.end))


def _read(text: str) -> Iterator[Hit]:
    lower = text.lower()
    worth = (
        mentions(lower, _WORTH)
        or (mentions(text, ";'\"=@") and mentions(lower, _ORDINARY))
        or ("(" in text and mentions(lower, ATTACKS))
    )
    if worth or mentions(text, "=<>") or (mentions(lower, _SIGNS) and _AT_NUMBER.match(text)):
        yield from _judged(text, tokens(text), _OUTSIDE)
    for quote in QUOTES:
        at = text.find(quote)
        # Backticks mark code in messages, so much more than a word is asked of them.
        if at >= 0 and ((worth and quote != "`") or _AFTER_QUOTE.match(text, at)):
            yield from _judged(text, tokens(text, quote), _IN_QUOTES)
    if match := _CUT_OFF.match(text):
        yield Hit(_CUT, *match.span())
    for sign, pattern in (("case", _CASE), (";", _BLOCK)):
        if sign in lower and (match := pattern.search(text)):
            yield Hit(_PROGRAMMED, *match.span())


def _judged(
    text: str, found: list[Token], table: list[tuple[Rule, re.Pattern[str]]]
) -> Iterator[Hit]:
    letters = fingerprint(found)
    for rules in (_ALWAYS, table):
        for rule, pattern in rules:
            if match := pattern.search(letters):
                first, last = match.start(), max(match.end() - 1, match.start())
                yield Hit(rule, found[first].start, found[last].end)
    for match in _COMPARED.finditer(letters):
        one, other = (found[match.start(group)] for group in (1, 2))
        sign = found[match.start(2) - 1]
        equal = text[sign.start : sign.end] in ("=", "==", "<=>", "<>", "!=")
        if match[1] == match[2] == "n" or (equal and _same(text, one, other)):
            yield Hit(_TAUTOLOGY, found[match.start()].start, other.end)
            return


def _same(text: str, one: Token, other: Token) -> bool:
    first, second = (text[each.start : each.end].strip("'\"`").lower() for each in (one, other))
    return bool(first) and first == second
