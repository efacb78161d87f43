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
| J | a procedure of the server, as `xp_cmdshell` |
| B | order by, group by |
| , ; c | comma, semicolon, a comment that cuts off the rest |
"""

import re
from typing import NamedTuple

_LEX = re.compile(
    r"""
      (?P<_space> [\s\x00-\x1f\udca0]++ | /\*!\d*+ | \*/ | /\*(?:[^*]++|\*(?!/))*+\*/ )
    | (?P<c> --[^\n]*+ | \#[^\n]*+ | /\*.*+ )
    | (?P<s> [nxb]?'(?:[^'\\]++|\\.?|'')*+'?
           | "(?:[^"\\]++|\\.?|"")*+"?
           | \$\w{0,32}\$ )
    | (?P<n> 0x[0-9a-f]++ | 0b[01]++ | (?:\d++(?:\.\d*+)?|\.\d++)(?:e[+-]?\d++)?+ )
    | (?P<v> @(?!>)@?[\w$`.]*+ )
    | (?P<w> [^\W\d][\w$]*+(?:\.{1,2}+[^\W\d][\w$]*+)*+ | `[^`]*+` | `[^`\s]*+\Z )
    | (?P<C> <=> | <> | [!<>=]= | <@ | @> | ->>? | [=<>] )
    | (?P<L> \|\| | && )
    | (?P<A> [-+*/%&|^~!] | :: )
    | (?P<_mark> [(),;] )
    | (?P<_other> . )
    """,
    re.VERBOSE | re.IGNORECASE | re.DOTALL,
)

# What a context may be inside of.
QUOTES = ("'", '"', "`")


def _table(**letters: str) -> dict[str, str]:
    return {word: letter for letter, words in letters.items() for word in words.split()}


_WORDS = _table(
    n="null true false",
    v="current_user session_user system_user current_database current_timestamp current_date"
    " sysdate systimestamp rownum localtimestamp current_schema",
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
    """sleep pg_sleep pg_sleep_for pg_sleep_until benchmark load_file extractvalue updatexml
    xmltype gtid_subset gtid_subtract xp_cmdshell xp_dirtree xp_fileexist xp_regread sp_oacreate
    sp_executesql receive_message dbms_lock.sleep dbms_session.sleep get_host_address
    get_host_name utl_http.request utl_tcp.open_connection httpuritype drithsx.sn
    dbms_xmlgen.getxml dbms_xmlgen.getxmltype dbms_ldap.init sqlid_to_sqlhash sys_eval sys_exec
    pg_read_file pg_read_binary_file pg_ls_dir pg_stat_file lo_import lo_export lo_get
    query_to_xml database_to_xml dblink dblink_connect dblink_exec randomblob zeroblob
    load_extension readfile writefile name_const make_set elt json_keys generate_series
    openrowset opendatasource openquery regexp_substring fn_xe_file_target_read_file
    fn_get_audit_file fn_trace_gettable st_latfromgeohash st_longfromgeohash
    st_pointfromgeohash multipoint geometrycollection multilinestring multipolygon
    dbms_java.runjava sleepeachrow
    """.split()  # noqa: SIM905 - a list of words reads better so
)

_SCHEMAS = re.compile(
    r"(?:\w++\.{1,2}+)?information_schema\b|sys(?:objects|columns|users|logins|databases|tables)$"
    r"|sys\.\w|sqlite_(?:master|schema|temp_master)$|mysql\.\w|rdb\$|mon\$|msys\w|g?v\$\w"
    r"|pg_(?:catalog|shadow|user|tables|database|class|roles|authid|stat_activity|proc|namespace)\b"
    r"|(?:all|user|dba)_(?:tables|tab_columns|users|objects|views|source|cons_columns|role_privs"
    r"|tab_privs|sys_privs|ind_columns|constraints)$|performance_schema\b|master\.{1,2}|dual$"
    r"|sysibm(?:adm)?\.|syscat\.|sysmaster\b|domain\.domains$|svv_"
    r"|system\.(?:tables|columns|users)$",
    re.IGNORECASE,
)
_PROCEDURE = re.compile(r"(?:\w++\.{1,2}+){0,3}+(?:xp|sp)_[a-z]", re.IGNORECASE)

_RIGHTS = "all connect resource dba select insert update delete execute usage create file"
_OBJECTS = "table database view index function procedure user schema login trigger column role"
_PAIRS = {
    "drop": _OBJECTS, "create": f"{_OBJECTS} or extension temporary unique", "alter": _OBJECTS,
    "insert": "into", "replace": "into", "merge": "into", "delete": "from quick low_priority",
    "truncate": "table",
    "waitfor": "delay time", "bulk": "insert", "backup": "database log", "attach": "database",
    "load": "data xml", "order": "by", "group": "by", "execute": "immediate", "rename": "table",
    "into": "outfile dumpfile", "grant": _RIGHTS, "revoke": _RIGHTS,
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
            if found and found[-1].letter in "wADJ" and previous:
                letter = "F" if attacks(previous) else "f"
                found[-1] = found[-1]._replace(letter=letter, end=end)
            previous = ""
            continue
        if word == ")":
            previous, opened = "", False
            continue
        letter = _letter(kind, word, previous, opened)
        if letter == "s":
            letter = _string(text[start:end])
        elif letter in "XB" and word in _PAIRED.get(previous, ()):
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
        return "B" if word == "by" else "X"
    letter = _WORDS.get(word) or _named(word)
    return "Q" if letter == "S" and opened else letter


def _named(word: str) -> str:
    if "_" in word and _PROCEDURE.match(word):
        return "J"
    return "D" if _SCHEMAS.match(word) else "w"


def attacks(word: str) -> bool:
    """Tell whether only an attack would call the function `word`, in lower case."""
    # A schema may stand before the name, as in `sys.dbms_lock.sleep` or `pg_catalog.pg_sleep`.
    *schemas, name = word.rsplit(".", 2)
    return name in ATTACKS or bool(schemas and f"{schemas[-1]}.{name}" in ATTACKS)


def _string(text: str) -> str:
    return "p" if len(text.split(None, 3)) > 2 else "s"


def fingerprint(found: list[Token]) -> str:
    """Write the letters of the tokens as one word."""
    return "".join([token.letter for token in found])
