"""Conditions of a rule: small tests of the subject, the resource and the context.

A condition says True or False. Whatever else happens (an attribute that is missing, a comparison
of what can't be compared, an exception) is an error, and an error denies: a rule that forbids must
not be passed by because it could not be evaluated.
"""

import json
import math
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from mobius_infra.core import MobiusError, require
from mobius_infra.security._access_patterns import require_name


@dataclass(frozen=True, slots=True)
class Subject:
    """Who acts.

    Attributes:
        id: names the subject, as roles are granted to it.
        roles: that the application vouches for, beside those that were granted.
        attributes: for conditions, as `subject.NAME`; not in the `repr`.
        verified_at: when it last proved by a second factor who it is, by this process's monotonic
            clock; None if it has not. `Session.subject` knows.
    """

    id: str
    roles: tuple[str, ...] = ()
    attributes: Mapping[str, object] = field(default_factory=dict, repr=False)
    verified_at: float | None = None

    def __post_init__(self) -> None:
        # One is made for every decision that asks a condition.
        given: object = self.id
        if not isinstance(given, str) or not given:
            require(False, "subject.id", given, "text that is not empty")
        roles: object = self.roles
        if not isinstance(roles, tuple):
            require(False, "subject.roles", roles, "a tuple of names of roles")


Who = Subject | str | int | None


def as_subject(who: Subject | str | int) -> Subject:
    """Return a subject, of which the id may be all that is known.

    Raises:
        ConfigurationError: if it is something else.
    """
    if type(who) is str:
        return Subject(who)
    if isinstance(who, Subject):
        return who
    given: object = who
    good = isinstance(given, str | int) and not isinstance(given, bool)
    require(good, "subject", who, "a Subject, or an id: text or a whole number")
    return Subject(str(who))


def user_id(user: str | int) -> str:
    """Return a user's id as text.

    Raises:
        ConfigurationError: if it is none, empty, or can't be written as UTF-8.
    """
    given: object = user
    good = isinstance(given, str | int) and not isinstance(given, bool) and _encodes(str(given))
    require(good, "user", user, "an id: text or a whole number")
    return str(user)


def _encodes(text: str) -> bool:
    try:
        return bool(text.encode())
    except UnicodeEncodeError:
        return False


def id_of(who: Who) -> str | None:
    """Return a subject's id; None for nobody."""
    return None if who is None else as_subject(who).id


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked: may the subject do this, to this resource?

    Attributes:
        subject: who.
        permission: what, such as `wallet:read`.
        resource: on which; None where there is none.
        context: anything else that conditions look at.
    """

    subject: Subject
    permission: str
    resource: object = field(default=None, repr=False)
    context: Mapping[str, object] = field(default_factory=dict, repr=False)


class ConditionError(MobiusError):
    """A condition could not be evaluated; the decision is no.

    Attributes:
        reason: why, without any value.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Condition:
    """A named test.

    Attributes:
        name: what rules and explanations call it; conditions of one name are the same.
        holds: takes the request; returns True or False, nothing else.
    """

    name: str
    holds: Callable[[Request], bool] = field(compare=False, repr=False)

    def ask(self, request: Request) -> bool:
        """Return what it says.

        Raises:
            ConditionError: if it raises, or says something that is neither True nor False.
        """
        try:
            held = self.holds(request)
        except ConditionError as error:
            raise ConditionError(f"{error.reason}, asked by {self.name}") from error
        except Exception as error:  # its text may tell secrets: only its kind is told
            raise ConditionError(f"{type(error).__name__} in {self.name}") from error
        if held is True or held is False:
            return held
        close = getattr(held, "close", None)
        if callable(close):
            close()  # a coroutine: it is true, and would have granted
        raise ConditionError(f"{self.name} returned a {type(held).__name__}, not True or False")


def _owns(request: Request) -> bool:
    owner = _read(request, ("resource", "owner"))
    if type(owner) is str:
        return owner == request.subject.id
    if owner is None:
        return False  # belongs to nobody
    if isinstance(owner, bool) or not isinstance(owner, str | int):
        raise ConditionError("resource.owner is neither text nor a whole number")
    return str(owner) == request.subject.id


owner: Final = Condition("owner", _owns)
"""Holds where `resource.owner` is the subject's id."""


def _equal(left: object, right: object) -> bool:
    # Strict: True is not 1, and "1" is not 1.
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    return bool(left == right)


def _among(item: object, many: object) -> bool:
    if not isinstance(many, list | tuple | AbstractSet):
        raise ConditionError(f"a {type(many).__name__} is looked into like a list")
    return any(_equal(item, each) for each in many)


def _number(value: object) -> float | Decimal:
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal) or math.isnan(value):
        raise ConditionError(f"a {type(value).__name__} is compared like a number")
    return value


_TESTS: Final[Mapping[str, Callable[[object, object], bool]]] = {
    "equals": _equal,
    "not_equals": lambda left, right: not _equal(left, right),
    "in": _among,
    "contains": lambda left, right: _among(right, left),
    "at_most": lambda left, right: bool(_number(left) <= _number(right)),
    "at_least": lambda left, right: bool(_number(left) >= _number(right)),
}
_ROOTS: Final = ("subject", "resource", "context")


def compare(path: str, test: str, value: object, field: str = "when") -> Condition:
    """Return the condition that compares an attribute.

    Args:
        path: such as `resource.amount`: an attribute of `subject`, `resource` or `context`, by
            key in a mapping and by name in anything else.
        test: `equals`, `not_equals`, `in`, `contains`, `at_most` or `at_least`.
        value: to compare with; `{"attribute": "subject.limit"}` stands for another attribute.
        field: how errors call it.

    Raises:
        ConfigurationError: for another test or path, or a value that can't be compared so.
    """
    require(test in _TESTS, field, test, "one of " + ", ".join(_TESTS))
    left, check = _path(path, field), _TESTS[test]
    name = f"{path} {test} {json.dumps(value, sort_keys=True, default=repr)}"
    if isinstance(value, Mapping):
        require(value.keys() == {"attribute"}, field, value, 'a value or {"attribute": "..."}')
        right = _path(value["attribute"], field)
        return Condition(name, lambda asked: check(_read(asked, left), _read(asked, right)))
    if test == "in":
        require(isinstance(value, list | tuple | AbstractSet), field, value, "a list")
    if test in ("at_most", "at_least"):
        good = not isinstance(value, bool) and isinstance(value, int | float | Decimal)
        good = good and str(value).lower() not in ("nan", "snan")
        require(good, field, value, "a number")
    return Condition(name, lambda asked: check(_read(asked, left), value))


def _path(text: object, field: str) -> tuple[str, ...]:
    parts = tuple(text.split(".")) if isinstance(text, str) else ()
    good = len(parts) > 1 and parts[0] in _ROOTS
    # No underscore first: `__class__` and its like lead out of what the application meant.
    good = good and all(part.isidentifier() and part[0] != "_" for part in parts)
    require(good, field, text, "a path such as resource.owner, subject.id or context.chat")
    return parts


def _read(request: Request, path: tuple[str, ...]) -> object:
    root, *rest = path
    value: object = getattr(request, root)
    for at, part in enumerate(rest, 1):
        if isinstance(value, Subject) and part not in ("id", "roles"):
            value = value.attributes
        try:
            value = value[part] if isinstance(value, (dict, Mapping)) else getattr(value, part)
        except (KeyError, AttributeError) as error:
            raise ConditionError(f"there is no {'.'.join(path[: at + 1])}") from error
    if callable(value):
        raise ConditionError(f"{'.'.join(path)} is a function")
    return value


def named(name: str, holds: Callable[[Request], bool]) -> Condition:
    """Return a condition that is a function of the application's."""
    require_name(name, "condition")
    require(callable(holds), f"conditions.{name}", holds, "a function of a request")
    return Condition(name, holds)
