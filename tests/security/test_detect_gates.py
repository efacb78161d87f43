"""What the cheap looks before the rules leave out, no rule would have found; levels only add."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from benchmarks.accuracy import PAYLOADS
from mobius_infra.security import _commands, _others, _paths, _sql, _xss
from mobius_infra.security._detect import inspect_text
from mobius_infra.security._views import views
from tests.security.test_detect import PIECES

LINES = [
    line for path in sorted(PAYLOADS.glob("*.txt")) for line in path.read_text("utf-8").splitlines()
]
ANYTHING = re.compile("")
# What SQL is made of. No backticks, no variables, and no words that stand after a quote in English
# too (`'all`): of those more is asked.
SQL = [
    "(", ")", ",", "--", "/*", "*/", "#", "<", "||", "&&", "+", "-", "*", "~", "1", "0x31", "null",
    "a", "b.c", "or", "and", "like", "in", "is", "not", "union", "select", "from", "where",
    "having", "order by", "limit", "drop", "table", "into", "insert", "set", "exec", "declare",
    "xp_x", "sleep(", "char(", "if(", "waitfor", "delay", "sys.x", "outfile", "load", "data",
    "prepare", "minus", "grant", "begin", "end", "0.5",
]  # fmt: skip
FINDERS = [
    (_commands, _commands.find_command),
    (_others, _others.find_others),
    (_paths, _paths.find_path),
    (_sql, _sql.find_sql),
    (_xss, _xss.find_xss),
]


def found(text: str) -> dict[str, set[str]]:
    return {
        module.__name__: {hit.rule.id for view in views(text) for hit in find(view.text)}
        for module, find in FINDERS
    }


def lost(text: str) -> dict[str, set[str]]:
    """Say what the rules find with every gate open and not with the gates as they are."""
    gated = found(text)
    with pytest.MonkeyPatch.context() as patch:
        for module, _ in FINDERS:
            patch.setattr(module, "mentions", lambda text, words: True)
        patch.setattr(_sql, "_AT_NUMBER", ANYTHING)
        patch.setattr(_sql, "_AFTER_QUOTE", ANYTHING)
        opened = found(text)
    return {name: less for name, more in opened.items() if (less := more - gated[name])}


def test_the_gates_lose_nothing_of_the_payloads() -> None:
    assert {line: losses for line in LINES if (losses := lost(line))} == {}


@given(st.lists(st.sampled_from([*PIECES, " ", "a", "print(", "passwd"]), max_size=12).map("".join))
def test_the_gates_lose_nothing_of_what_is_put_together(text: str) -> None:
    assert lost(text).keys() <= {_sql.__name__}  # see below


SOME = st.lists(st.sampled_from(SQL), max_size=6).map(" ".join)
# No query goes on with an open parenthesis after a string, but messages do: `:'( - `.
REST = SOME.filter(lambda text: not text.lstrip(" )").startswith("("))


@given(SOME, st.sampled_from(["'", '"', ";", "="]), REST)
@example("*/ 1 having null", ";", "")
@example(") 1 and sleep(", "=", "")
@example("", "'", "; drop table a")
@example("1", ";", "exec xp_x")
@example("1", "=", "sleep( 1 )")
def test_the_gates_lose_nothing_of_sql_with_a_sign_in_it(
    before: str, sign: str, after: str
) -> None:
    assert lost(before + sign + after) == {}


# Each passes by one gate only: what opens it is in no other.
BY_ONE_GATE = [
    "1 union", "a,(select b from c)", "a;exec", "declare @x", "a;waitfor delay '1'", "sp_help 'a'",
    "xp_help @a", "a into outfile 'a'", "a into dumpfile 'a'", "chr(1)||chr(2)||chr(3)",
    "char(1)||char(2)||char(3)", "a or sleep(1)", "a or 1=1 --", "order by 1 --", "group by 1 --",
    "null or true --", "1 limit 1,1 --", "1;drop table a", "1;insert into a", "1;delete from a",
    "1;truncate table a", "1;alter table a", "1;create table a", "a;shutdown", "a;reconfigure",
    "1;merge into a", "1;replace into a", "1;attach database 'a'", "1;load data 'a'",
    "1;backup database a", "1;set @a", "1;grant all @a", "1;revoke all @a", "a;prepare x_y@a",
    "' intersect (select", "a' or 1 like 1", "a' having 1 --", "a' limit 1 --", "a' order by 1 --",
    "a' group by 1 --", "a' procedure x(", "a' like 'a", "a' in (select 1)", "a'=1=1", "a'||'a'='a",
    "a'; drop table b", "a` or 1=1 --", "case when 1=1 then", "1;call x()",
]  # fmt: skip


@pytest.mark.parametrize("text", BY_ONE_GATE)
def test_each_gate_of_sql_lets_through_what_it_is_there_for(text: str) -> None:
    assert any(hit.rule.attack == "sqli" for hit in _sql.find_sql(text))
    assert lost(text) == {}


@pytest.mark.parametrize("line", LINES)
def test_a_higher_level_finds_no_less(line: str) -> None:
    rules = [{each.rule for each in inspect_text(line, level=level)} for level in (1, 2, 3, 4)]
    assert rules[0] <= rules[1] <= rules[2] <= rules[3]


@pytest.mark.parametrize(
    ("text", "level"), [("admin'", 2), ("onerror", 3), ("a<5", 4), ("<b>", 3), ("../x", 1)]
)
def test_each_level_adds_its_own(text: str, level: int) -> None:
    assert inspect_text(text, level=level)
    assert level == 1 or not inspect_text(text, level=level - 1)


@pytest.mark.parametrize(
    ("text", "rule", "expected"),
    [
        ("x;c''at /etc/hosts", "command.after-value", ";c''at"),
        ("a=..0x2f..0x2fetc", "path.step", "=..0x2f"),
        ("1 UNI/**/ON SEL/**/ECT 1", "sqli.union", "UNI/**/ON SEL/**/ECT 1"),
    ],
)
def test_a_span_says_where_it_stood_in_the_disguised_text(
    text: str, rule: str, expected: str
) -> None:
    (span,) = [each.span for each in inspect_text(text) if each.rule == rule]
    assert text[slice(*span)] == expected
