"""A policy as JSON: every entry is checked, and an error names the one at fault.

    {
      "roles": {
        "member": {"allow": ["help:read", {"permission": "wallet:*", "when": ["owner"]}]},
        "admin": {"inherits": ["member"], "allow": ["wallet:*", "role:*"]},
        "suspended": {"deny": ["*"]}
      },
      "default": ["member"],
      "subjects": {"7": ["admin"]}
    }

A condition is a name (`owner`, or one of the application's), or
`{"resource.amount": {"at_most": 100}}`.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from os import PathLike
from pathlib import Path

from mobius_infra.core import ConfigurationError, require
from mobius_infra.security._access_conditions import Condition, Request, compare, named, owner
from mobius_infra.security._policy import Policy
from mobius_infra.security._roles import Role, Rule

Conditions = Mapping[str, Callable[[Request], bool]]


class PolicyFile:
    """A file that holds a policy, and is read again when it has changed.

    Args:
        path: of the JSON file.
        conditions: the application's own conditions, by the names that the file uses.
        every: seconds between two looks at the file; None looks only when told to.
    """

    __slots__ = ("_conditions", "every", "path")

    def __init__(
        self,
        path: str | PathLike[str],
        *,
        conditions: Conditions | None = None,
        every: float | None = 5.0,
    ) -> None:
        good = every is None or (not isinstance(every, bool) and 0 < every < float("inf"))
        require(good, "every", every, "a positive number of seconds, or None")
        self.path = Path(path)
        self.every = every
        self._conditions = dict(conditions or {})

    def read(self) -> bytes:
        """Return the file's bytes.

        Raises:
            ConfigurationError: if it can't be read.
        """
        try:
            return self.path.read_bytes()
        except OSError as error:
            why = error.strerror or type(error).__name__
            raise ConfigurationError("policy", str(self.path), f"a file: {why}") from error

    def parse(self, data: bytes) -> Policy:
        """Return the policy that bytes hold.

        Raises:
            ConfigurationError: naming the entry at fault.
        """
        return parse_policy(data, self._conditions)

    def __repr__(self) -> str:
        return f"PolicyFile({str(self.path)!r}, every={self.every})"


def parse_policy(data: str | bytes, conditions: Conditions | None = None) -> Policy:
    """Return the policy that JSON text describes.

    Raises:
        ConfigurationError: naming the entry at fault.
    """
    try:
        document = json.loads(data, object_pairs_hook=_once, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        if isinstance(error, ConfigurationError):
            raise
        raise ConfigurationError("policy", type(error).__name__, f"JSON: {error}") from error
    return load_policy(document, conditions)


def load_policy(document: object, conditions: Conditions | None = None) -> Policy:
    """Return the policy that a mapping describes, as read from JSON.

    Raises:
        ConfigurationError: naming the entry at fault.
    """
    known = {owner.name: owner}
    for name, holds in (conditions or {}).items():
        require(name not in known, "conditions", name, "another name: this one is built in")
        known[name] = named(name, holds)
    whole = _mapping(document, "policy", {"roles", "default", "subjects"})
    roles = [
        _role(name, body, known) for name, body in _mapping(whole.get("roles"), "roles").items()
    ]
    subjects = _mapping(whole.get("subjects", {}), "subjects")
    return Policy(
        roles,
        default=_names(whole.get("default", []), "default"),
        subjects={each: _names(names, f"subjects.{each}") for each, names in subjects.items()},
    )


def _role(name: str, body: object, known: Mapping[str, Condition]) -> Role:
    fields = _mapping(body, f"roles.{name}", {"inherits", "allow", "deny"})
    return Role(
        name,
        inherits=_names(fields.get("inherits", []), f"{name}.inherits"),
        allow=tuple(_rules(fields.get("allow", []), f"{name}.allow", known)),
        deny=tuple(_rules(fields.get("deny", []), f"{name}.deny", known)),
    )


def _rules(given: object, field: str, known: Mapping[str, Condition]) -> Iterator[Rule]:
    for at, each in enumerate(_list(given, field)):
        place = f"{field}[{at}]"
        if isinstance(each, str):
            yield Rule(each)
            continue
        body = _mapping(each, place, {"permission", "when"})
        permission = body.get("permission")
        require(isinstance(permission, str), f"{place}.permission", permission, "text")
        when = _list(body.get("when"), f"{place}.when")
        # "when": [] would count always, which whoever wrote it hardly meant.
        require(bool(when), f"{place}.when", when, "a list of at least one condition")
        conditions = [
            made
            for number, condition in enumerate(when)
            for made in _condition(condition, f"{place}.when[{number}]", known)
        ]
        yield Rule(str(permission), tuple(conditions))


def _condition(given: object, field: str, known: Mapping[str, Condition]) -> Iterator[Condition]:
    if isinstance(given, str):
        names = ", ".join(sorted(known))
        require(given in known, field, given, f"a condition that is defined: {names}")
        yield known[given]
        return
    tests = _mapping(given, field)
    require(bool(tests), field, given, 'a name, or {"resource.amount": {"at_most": 100}}')
    for path, body in tests.items():
        wanted = _mapping(body, f"{field}.{path}")
        require(bool(wanted), f"{field}.{path}", body, 'a test such as {"at_most": 100}')
        for test, value in wanted.items():
            yield compare(path, test, value, f"{field}.{path}")


def _mapping(given: object, field: str, keys: set[str] | None = None) -> Mapping[str, object]:
    if not isinstance(given, Mapping):
        raise ConfigurationError(field, given, "an object")
    for key in given:
        good = isinstance(key, str) and (keys is None or key in keys)
        require(good, field, key, "made of " + ", ".join(sorted(keys or {"text"})))
    return given


def _list(given: object, field: str) -> list[object]:
    if not isinstance(given, list):
        raise ConfigurationError(field, given, "a list")
    return given


def _names(given: object, field: str) -> tuple[str, ...]:
    names = []
    for at, each in enumerate(_list(given, field)):
        if not isinstance(each, str):
            raise ConfigurationError(f"{field}[{at}]", each, "a role's name")
        names.append(each)
    return tuple(names)


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    # Of two keys alike, JSON's readers keep the last: a second "deny" would undo the first.
    made: dict[str, object] = {}
    for key, value in pairs:
        require(key not in made, "policy", key, "a key that is there once in its object")
        made[key] = value
    return made


def _no_constant(name: str) -> object:
    raise ConfigurationError("policy", name, "JSON, which has no such number")
