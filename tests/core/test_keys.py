"""Key templates: compiled once, bound as the call itself is, and never colliding."""

import inspect
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mobius_infra.core import ConfigurationError, compile_key


class Chat:
    def __init__(self, identifier: int) -> None:
        self.id = identifier


async def price(user_id: int, coin: str = "btc", *, currency: str = "usd") -> str:
    return f"{user_id}{coin}{currency}"


def test_a_bare_name_stands_for_one_field() -> None:
    assert compile_key("user_id", price)(7) == compile_key("{user_id}", price)(7) == "7"


def test_defaults_and_keywords_bind_as_in_the_call() -> None:
    key = compile_key("{coin}:{currency}", price)
    assert key(1) == "btc:usd"
    assert key(1, currency="eur", coin="eth") == key(1, "eth", currency="eur") == "eth:eur"


def test_a_default_that_has_no_source_form_is_kept() -> None:
    marker = object()

    async def f(thing: object = marker) -> None: ...

    assert compile_key("{thing}", f)() == str(marker).replace(":", "%3A")


def test_a_field_reaches_into_its_parameter() -> None:
    async def f(chat: Chat, pair: tuple[str, str]) -> None: ...

    assert compile_key("{chat.id}/{pair[1]}", f)(Chat(5), ("a", "b")) == "5/b"


def test_literal_braces_quotes_and_backslashes_stay_as_written() -> None:
    assert compile_key("{{x}}'\\n\"{user_id}", price)(1) == "{x}'\\n\"1"


def test_self_can_be_named() -> None:
    class Owner:
        tag = "o"

        async def f(self, x: int) -> None: ...

    assert compile_key("{self.tag}:{x}", Owner.f)(Owner(), 3) == "o:3"


@given(
    st.lists(st.text(alphabet="a:%3A"), min_size=2, max_size=2),
    st.lists(st.text(alphabet="a:%3A"), min_size=2, max_size=2),
)
def test_different_arguments_never_make_the_same_key(one: list[str], other: list[str]) -> None:
    async def f(a: str, b: str) -> None: ...

    key = compile_key("{a}:{b}", f)
    assert (key(*one) == key(*other)) == (one == other)


@pytest.mark.parametrize(
    "template",
    ["{user}", "nobody", "{user_id!r}", "{user_id:>9}", "{}", "{0}", "{user_id[x]}", "{user_id.}"],
)
def test_what_names_no_parameter_is_refused_at_once(template: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        compile_key(template, price)
    assert caught.value.field == "key"
    assert caught.value.value == template


def test_the_error_lists_the_parameters_that_there_are() -> None:
    with pytest.raises(
        ConfigurationError, match=r"price.*'chat' is not one.*user_id, coin, currency"
    ):
        compile_key("{chat}", price)


def test_a_function_is_passed_through() -> None:
    def by_hand(user_id: int) -> str:
        return f"mine-{user_id}"

    assert compile_key(by_hand, price) is by_hand


def test_a_wrong_call_fails_as_the_function_itself_would() -> None:
    key: Callable[..., str] = compile_key("{user_id}", price)
    with pytest.raises(TypeError, match="user_id"):
        key()
    assert list(inspect.signature(key).parameters) == ["user_id", "coin", "currency"]
