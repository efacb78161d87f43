"""The validator: parameters and fields checked, refusals counted, told, and without the value."""

import asyncio
import pickle
import traceback
from typing import Annotated, Any, assert_type

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from mobius_infra.core import ConfigurationError, Rejected, samples
from mobius_infra.security import (
    Detector,
    Email,
    FileName,
    Identifier,
    InputRefused,
    InputValidator,
    InvalidInputError,
    JsonText,
    ScreenedError,
    Text,
    Wallet,
    WebUrl,
    validated,
)
from mobius_infra.testing import ManualClock

Note = Annotated[str, Text(longest=10)]


async def test_parameters_are_checked_by_their_annotations() -> None:
    @validated("notes")
    async def save(
        user: int, note: Note, *, more: Note | None = None
    ) -> tuple[int, str, str | None]:
        return user, note, more

    assert_type(await save(1, "short"), tuple[int, str, str | None])
    assert await save(1, "short") == (1, "short", None)
    assert await save(user=1, note="short", more=None) == (1, "short", None)
    for args, kwargs, field in (
        ((1, "far too long"), {}, "note"),
        ((1,), {"note": "far too long"}, "note"),
        ((1, "short"), {"more": "far too long"}, "more"),
    ):
        with pytest.raises(InvalidInputError) as caught:
            await save(*args, **kwargs)  # type: ignore[arg-type]
        assert (caught.value.name, caught.value.field.split(".")[0]) == ("notes", field)
        assert caught.value.reason == "length"


async def test_the_handler_gets_what_the_check_returned() -> None:
    @validated("body", {"body": JsonText(), "to": Email()})
    async def receive(body: Any, to: str = "none") -> tuple[Any, str]:
        return body, to

    assert await receive('{"a": 1}', to="a@EXAMPLE.org") == ({"a": 1}, "a@example.org")
    assert await receive("1") == (1, "none")  # a default is the programmer's


async def test_a_name_given_only_by_place_can_not_hide_behind_a_namesake() -> None:
    @validated("places")
    async def save(note: Note, /, *rest: str, last: Note = "", **others: str) -> str:
        return note

    with pytest.raises(InvalidInputError):
        await save("far too long", note="short")
    assert await save("short", "far too long", note="far too long") == "short"
    with pytest.raises(InvalidInputError, match="last"):
        await save("short", "x", "y", last="far too long")


async def test_methods_of_all_kinds() -> None:
    class Bot:
        @validated("m")
        async def method(self, note: Note) -> str:
            return note

        @classmethod
        @validated("c")
        async def of_class(cls, note: Note) -> str:
            return note

        @validated("s")
        @staticmethod
        async def static(note: Note) -> str:
            return note

    for call in (Bot().method, Bot.of_class, Bot.static):
        assert await call("short") == "short"
        with pytest.raises(InvalidInputError):
            await call("far too long")


def test_collecting_parameters_can_not_be_checked() -> None:
    async def receive(*texts: str, **more: str) -> None: ...

    for name in ("texts", "more"):
        with pytest.raises(ConfigurationError, match="parameters of the function"):
            validated("x", {name: Text()})(receive)


def test_a_function_without_checks_is_refused_and_so_is_one_that_can_not_be_read() -> None:
    async def plain(text: str) -> None: ...

    async def later(text: "Annotated[Missing, Text()]") -> None: ...  # type: ignore[name-defined]  # noqa: F821

    with pytest.raises(ConfigurationError, match="a check in an annotation"):
        validated("x")(plain)
    with pytest.raises(ConfigurationError, match="Missing"):
        validated("x")(later)

    def sync(text: Note) -> None: ...

    with pytest.raises(ConfigurationError, match="async def"):
        validated("x")(sync)  # type: ignore[arg-type]


class Order(BaseModel):
    model_config = ConfigDict(hide_input_in_errors=True)
    to: Annotated[str, Wallet("ton")]
    amount: int = Field(gt=0)


class Loose(BaseModel):
    secret: str

    @field_validator("secret")
    @classmethod
    def _refuse(cls, value: str) -> str:
        raise ValueError(value)


def test_fields_are_checks_or_types_of_pydantic() -> None:
    check = InputValidator(
        "orders", {"order": Order, "count": int, "tags": list[Annotated[str, Identifier()]]}
    )
    assert check.check("count", "3") == 3
    assert check.check("tags", ["ada"]) == ["ada"]
    wallet = "EQCxE6mUtQJKFnGfaROTKOt1lZbDiiX1kCixRv7Nw2Id_sDs"
    assert check.check("order", {"to": wallet, "amount": 1}) == Order(to=wallet, amount=1)
    for field, value, place, reason in (
        ("count", "many", "count", "int_parsing"),
        ("tags", ["ada", "a b"], "tags.1", "class"),
        ("order", {"to": wallet, "amount": 0}, "order.amount", "greater_than"),
        ("order", {"to": wallet[:-1] + "x", "amount": 1}, "order.to", "checksum"),
    ):
        with pytest.raises(InvalidInputError) as caught:
            check.check(field, value)
        assert (caught.value.field, caught.value.reason) == (place, reason)


def test_a_key_that_somebody_made_up_is_not_repeated() -> None:
    check = InputValidator("v", {"limits": dict[str, int]})
    with pytest.raises(InvalidInputError) as caught:
        check.check("limits", {"my password: x": "no"})
    assert caught.value.field == "limits.?"


def test_the_value_is_in_no_error_of_any_kind() -> None:
    check = InputValidator(
        "v", {"text": Text(longest=3), "loose": Loose, "count": int, "page": WebUrl()}
    )
    for field, value in (
        ("text", "hunter2"),
        ("loose", {"secret": "hunter2"}),
        ("count", "hunter2"),
        ("page", "hunter2"),
    ):
        with pytest.raises(InvalidInputError) as caught:
            check.check(field, value)
        shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value.fields())
        assert caught.value.__context__ is None
        assert "hunter2" not in shown.replace(repr((field, value)), "")
    with pytest.raises(ValidationError) as raised:
        Order.model_validate({"to": "hunter2", "amount": 1})
    assert "hunter2" not in str(raised.value)


def test_refusals_are_counted_and_told() -> None:
    clock = ManualClock(epoch=50.0)
    check = InputValidator("notes", {"note": Text(longest=3)}, clock=clock)
    heard: list[Any] = []
    check.events.subscribe(heard.append)
    check.check("note", "abc")
    with pytest.raises(InvalidInputError) as caught:
        check.check("note", "abcd")
    assert heard == [InputRefused(source="notes", at=50.0, error=caught.value, passed=False)]
    found = {(each.name, *each.labels.values()): each.value for each in samples(check.stats())}
    assert found == {("checked",): 2, ("refused", "length"): 1}
    assert isinstance(caught.value, Rejected)
    assert isinstance(caught.value, ValueError)


def test_observing_lets_the_original_pass_and_counts_what_would_not_have() -> None:
    check = InputValidator("notes", {"note": Text(longest=3), "body": JsonText()}, mode="observe")
    heard: list[Any] = []
    check.events.subscribe(heard.append)
    assert check.check("note", "abcd") == "abcd"
    assert check.check("body", "{") == "{"
    assert check.check("body", "{}") == {}
    stats = check.stats()
    assert (stats.refused, stats.would_have_refused) == ({}, {"length": 1, "syntax": 1})
    assert [each.passed for each in heard] == [True, True]


def test_what_passes_is_screened_for_the_sink_of_its_check() -> None:
    screen = Detector("screen", block={"url", "path"})
    check = InputValidator(
        "v", {"file": FileName(), "link": WebUrl(), "note": Note, "n": int}, screen=screen
    )
    heard: list[Any] = []
    screen.events.subscribe(heard.append)
    with pytest.raises(ScreenedError):
        check.check("link", "https://example.com/?q=<script>alert(1)</script>")
    assert heard[0].verdict.sink == "url"
    assert check.check("note", "<b onx=") == "<b onx="
    assert check.check("n", 1) == 1
    assert screen.stats().screened == 2
    assert check.stats().refused == {"screened": 1}


async def test_cancellation_passes_and_counts_as_nothing() -> None:
    check = InputValidator("notes", {"note": Text()})

    @check
    async def wait(note: str) -> None:
        await asyncio.Event().wait()

    task = asyncio.ensure_future(wait("x"))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert check.stats().refused == {}


def test_an_unknown_field_and_bad_settings_are_refused() -> None:
    check = InputValidator("notes", {"note": Text()})
    with pytest.raises(ConfigurationError, match="one of the fields of notes: note"):
        check.check("other", "x")
    with pytest.raises(ConfigurationError):
        InputValidator("notes").check("note", "x")
    with pytest.raises(ConfigurationError):
        InputValidator("")
    with pytest.raises(ConfigurationError):
        InputValidator("x", mode="off")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="a type that pydantic knows"):
        InputValidator("x", {"note": object()})


@pytest.mark.parametrize(
    "check",
    [
        Text(scripts={"Latin"}, classes={"L"}),
        Identifier(reserved={"x"}),
        FileName(extensions={"png"}),
        WebUrl(schemes={"https"}, ports={80}, hosts={"a.com"}),
        JsonText(),
        Email(),
        Wallet("ton"),
    ],
)
def test_a_check_has_a_hash_and_can_be_one_of_several_types(check: Any) -> None:
    assert isinstance(hash(check), int)
    either = Annotated[str, check] | None
    assert InputValidator("x", {"field": either}).check("field", None) is None


def test_it_says_what_it_is() -> None:
    assert repr(InputValidator("notes", {"note": Text()})) == (
        "InputValidator('notes', fields=[note], mode='block')"
    )
    assert repr(validated("notes")) == "InputValidator('notes', mode='block')"


def test_an_error_survives_pickling() -> None:
    error = InvalidInputError("length", "5 characters", "of 3", field="note", name="notes")
    copy = pickle.loads(pickle.dumps(error))
    assert (str(copy), copy.fields()) == (str(error), error.fields())
