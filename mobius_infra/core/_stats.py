"""Numbers that are pulled: a snapshot of a component, and how an exporter reads it.

A component's `stats()` returns a frozen dataclass whose fields say what they are:

    @dataclass(frozen=True, slots=True)
    class CacheStats(Stats):
        hits: Mapping[str, int] = counter("Values found, by tier", label="tier")
        size: int = gauge("Entries held in memory")

Exporters, alerts and the status page read any of them through `samples`, knowing none.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal, NamedTuple, Protocol

from mobius_infra.core._events import Events

Kind = Literal["counter", "gauge", "state"]


@dataclass(frozen=True, slots=True)
class Stats:
    """What `stats()` returns: each field made by `counter`, `gauge` or `state`."""


class Component(Protocol):
    """What every object of the seven subpackages is to those who watch it."""

    @property
    def name(self) -> str:
        """The name that it was given; labels its numbers and events."""
        ...

    @property
    def events(self) -> Events:
        """Where its changes are pushed from."""
        ...

    def stats(self) -> Stats:
        """Return its numbers as they are now."""
        ...


# Any in the three below, as in `dataclasses.field`: the declared field type is the caller's.
def counter(doc: str, *, label: str | None = None) -> Any:
    """Declare a number that only grows; with `label`, a mapping from label value to number."""
    return field(metadata={"kind": "counter", "doc": doc, "label": label})


def gauge(doc: str, *, label: str | None = None) -> Any:
    """Declare a number that goes up and down; with `label`, a mapping from label to number."""
    return field(metadata={"kind": "gauge", "doc": doc, "label": label})


def state(doc: str) -> Any:
    """Declare a string that names the state a thing is in."""
    return field(metadata={"kind": "state", "doc": doc, "label": None})


class Sample(NamedTuple):
    """One number or state read from a snapshot.

    Attributes:
        name: the field's name.
        kind: `counter`, `gauge` or `state`.
        doc: what it counts, in words.
        labels: label names and values; empty for most.
        value: the number, or the state's name.
    """

    name: str
    kind: Kind
    doc: str
    labels: Mapping[str, str]
    value: float | str


def samples(stats: Stats) -> Iterator[Sample]:
    """Read every declared field of a snapshot, one sample a label value.

    A field that is None is not known at present, and left out.
    """
    for each in fields(stats):
        meta = each.metadata
        value = getattr(stats, each.name)
        if not meta or value is None:
            continue
        kind, doc, label = meta["kind"], meta["doc"], meta["label"]
        if label is None:
            yield Sample(each.name, kind, doc, {}, value)
        else:
            for at, number in value.items():
                yield Sample(each.name, kind, doc, {label: str(at)}, number)
