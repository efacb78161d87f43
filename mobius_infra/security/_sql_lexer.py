"""A lexer of SQL in one pass, for the dialects together, that says what kind each token is.

It never fails: what no dialect knows is a token too. Tokens are letters, so that a text becomes a
short word, its fingerprint, which `_sql` judges as one judges a sentence.

| letter | what |
|---|---|
| n s v w | number or constant, string, variable, other word |
| p | a string that reads like prose: three words or more |
| f F | a word before a parenthesis; one that only an attack would call |
| L C R | and, or; a comparison by sign; one by word |
| A | arithmetic, a sign, concatenation |
| U S Q | union and its kind; select; select after a parenthesis |
| X | the two words that begin a statement, as `drop table` |
| O K | a clause that may follow a condition; from, where, into, values |
| D | a table or variable that describes the database itself |
| E | exec, declare: the first word of a statement that says enough by itself |
| , ; c | comma, semicolon, a comment that cuts off the rest |
"""

import re
from typing import NamedTuple

_LEX = re.compile(
    r"""
      (?P<_space> [\s\x00]++ | /\*!\d*+ | \*/ | /\*(?:[^*]++|\*(?!/))*+\*/ )
    | (?P<c> --[^\n]*+ | \#[^\n]*+ | /\*.*+ )
    | (?P<s> [nxb]?'(?:[^'\\]++|\\.?|'')*+'?
           | "(?:[^"\\]++|\\.?|"")*+"?
           | \$\w{0,32}\$ )
    | (?P<n> 0x[0-9a-f]++ | 0b[01]++ | (?:\d++(?:\.\d*+)?|\.\d++)(?:e[+-]?\d++)?+ )
    | (?P<v> @@?[\w$`.]*+ )
    | (?P<w> [^\W\d][\w$]*+(?:\.[^\W\d][\w$]*+)*+ | `[^`]*+`? )
    | (?P<C> <=> | <> | [!<>=]= | [=<>] )
    | (?P<L> \|\| | && )
    | (?P<A> [-+*/%&|^~!] | :: )
    | (?P<_mark> [(),;] )
    | (?P<_other> . )
    """,
    re.VERBOSE | re.IGNORECASE | re.DOTALL,
)

# Of the strings, those in quotes that a context may be inside of.
QUOTES = ("'", '"')


def _table(**letters: str) -> dict[str, str]:
    return {word: letter for letter, words in letters.items() for word in words.split()}


_WORDS = _table(
    n="null true false",
    L="and or xor",
    R="like rlike regexp in between is ilike similar glob match sounds",
    A="div mod not binary collate distinct all any some case when then else",
    U="union intersect except minus",
    S="select",
    O="having procedure limit offset",
    E="exec execute declare shutdown reconfigure prepare",
    K="from where into values set table as end asc desc",
)

# Nobody calls these but to wait, to read a file, to reach out or to make an error speak.
ATTACKS = frozenset(
    """sleep pg_sleep benchmark load_file extractvalue updatexml xmltype gtid_subset
    gtid_subtract xp_cmdshell xp_dirtree xp_fileexist xp_regread sp_oacreate sp_executesql
    dbms_pipe.receive_message dbms_lock.sleep utl_inaddr.get_host_address utl_inaddr.get_host_name
    utl_http.request httpuritype ctxsys.drithsx.sn dbms_xmlgen.getxml sys_eval sys_exec
    pg_read_file pg_ls_dir lo_import lo_export query_to_xml database_to_xml dblink randomblob
    load_extension name_const make_set elt json_keys generate_series openrowset opendatasource
    """.split()  # noqa: SIM905 - a list of words reads better so
)

_SCHEMAS = re.compile(
    r"information_schema\b|sysobjects$|syscolumns$|sys\.(?:tables|objects|databases|columns)"
    r"|sqlite_(?:master|schema|temp_master)$|pg_(?:catalog|shadow|user|tables|database)\b"
    r"|mysql\.(?:user|db|innodb_)|all_(?:tables|tab_columns|users)$|user_(?:tables|tab_columns)$"
    r"|rdb\$|msysobjects$|performance_schema\b|master\.\.|v\$version|sysusers$|syslogins$|dual$",
    re.IGNORECASE,
)

_OBJECTS = "table database view index function procedure user schema login trigger column role"
_PAIRS = {
    "drop": _OBJECTS, "create": f"{_OBJECTS} or extension temporary unique", "alter": _OBJECTS,
    "insert": "into", "replace": "into", "merge": "into", "delete": "from", "truncate": "table",
    "waitfor": "delay time", "bulk": "insert", "backup": "database log", "attach": "database",
    "load": "data", "order": "by", "group": "by", "execute": "immediate", "rename": "table",
    "into": "outfile dumpfile",
}  # fmt: skip
_PAIRED = {first: frozenset(second.split()) for first, second in _PAIRS.items()}


class Token(NamedTuple):
    """A piece of SQL: its letter, and where it stands."""

    letter: str
    start: int
    end: int


def tokens(text: str, quote: str = "") -> list[Token]:
    """Read `text` as it would be read inside `quote`, or outside of any quotes.

    Space, comments that end and parentheses are passed over: a parenthesis shows in the letter of
    the word before it (`f`, `F`), or of the `select` after it (`Q`).
    """
    found: list[Token] = []
    at = 0
    if quote:
        at = text.find(quote) + 1
        found.append(Token(_string(text[: at - 1]), 0, at))
    opened, previous = False, ""  # after a parenthesis; the word just before
    for match in _LEX.finditer(text, at):
        kind = match.lastgroup or ""
        if kind == "_space":
            continue
        start, end = match.span()
        word = match.group().lower() if kind in "w_mark" else ""
        if word == "(":
            opened = True
            if found and found[-1].letter in "wA" and previous:
                letter = "F" if previous in ATTACKS else "f"
                found[-1] = found[-1]._replace(letter=letter, end=end)
            previous = ""
            continue
        if word == ")":
            previous, opened = "", False
            continue
        letter = _letter(kind, word, previous, opened)
        if letter == "s":
            letter = _string(text[start:end])
        elif letter in "XO" and word in _PAIRED.get(previous, ()):
            start = found.pop().start
        while found and found[-1].letter == "c":  # it cut nothing off: the text goes on
            found.pop()
        found.append(Token(letter, start, end))
        opened, previous = False, word
    return found


def _letter(kind: str, word: str, previous: str, opened: bool) -> str:
    if kind != "w":
        return word if kind == "_mark" else kind.replace("_other", "?")
    if word in _PAIRED.get(previous, ()):
        return "O" if word == "by" else "X"
    letter = _WORDS.get(word) or ("D" if _SCHEMAS.match(word) else "w")
    return "Q" if letter == "S" and opened else letter


def _string(text: str) -> str:
    return "p" if len(text.split(None, 3)) > 2 else "s"


def fingerprint(found: list[Token]) -> str:
    """Write the letters of the tokens as one word."""
    return "".join([token.letter for token in found])
