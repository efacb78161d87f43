"""What may be the name of a metric or label, and what becomes of a label's value.

Prometheus drops everything a target says for one line that it can't read, so nothing that it would
refuse may get as far as that.
"""

import re
from collections.abc import Iterable

from mobius_infra.core import ConfigurationError, require
from mobius_infra.metrics._family import Kind

LONGEST = 256
"""Characters that a label's value may have: a series stays in memory for as long as the process."""

_METRIC = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
# Control characters, but for the new line, which every format escapes; and halves of a character.
_UNSAFE = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
_SUFFIXES: dict[str, tuple[str, ...]] = {
    "counter": ("_total", "_created"),
    "gauge": (),
    "histogram": ("_bucket", "_sum", "_count", "_created"),
    "summary": ("_sum", "_count", "_created"),
    "info": ("_info",),
}
ADDED: dict[Kind, str] = {"counter": "_total", "info": "_info"}
"""What a format adds by itself, whether the name has it or not."""

_FOREIGN = re.compile(r"^[0-9]|[^a-zA-Z0-9_]")
_FOREIGN_BUT_COLON = re.compile(r"^[0-9]|[^a-zA-Z0-9_:]")
_ANY = "any text in one line, without control characters"
_OWN_LABEL: dict[Kind, str] = {"histogram": "le", "summary": "quantile"}


def clean(text: str) -> str:
    """Return `text` with what breaks an exposition replaced: control characters, surrogates."""
    return text if text.isprintable() else _UNSAFE.sub("\ufffd", text)


def label_value(value: object) -> str:
    """Return a label's value as it is exported: text, clean, cut to `LONGEST` characters."""
    text = clean(str(value))
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def legal(name: str) -> str:
    """Return `name` with all but ASCII letters, digits and underscores replaced by underscores.

    It is what prometheus-client does with a name for readers that know no others.
    """
    return _FOREIGN.sub("_", name) or "_"


def metric_name(name: str, kind: Kind, unit: str = "", *, utf8: bool = False) -> str:
    """Return the name of a family: without what formats add, with its unit at the end.

    Args:
        name: as declared.
        kind: of metric.
        unit: such as `seconds`, or nothing.
        utf8: allow any text, as Prometheus 3 does.

    Raises:
        ConfigurationError: for what Prometheus would refuse, and for names of the library's own.
    """
    field = "the name of a metric"
    if not isinstance(name, str):
        raise ConfigurationError(field, name, "text")
    allowed = "letters, digits, underscores and colons, and no digit first"
    require(_fits(name, _METRIC, utf8=utf8), field, name, _ANY if utf8 else allowed)
    require(not name.startswith("mobius_"), field, name, "without `mobius_` at its beginning")
    if unit:
        good = _LABEL.fullmatch(unit) is not None
        require(good and kind != "info", f"the unit of {name}", unit, "a word, and none for info")
    base = name.removesuffix(ADDED.get(kind, "")) or name
    return base if not unit or base.endswith(f"_{unit}") else f"{base}_{unit}"


def label_names(
    metric: str, kind: Kind, names: tuple[str, ...], taken: tuple[str, ...], *, utf8: bool = False
) -> tuple[str, ...]:
    """Return a metric's label names, if it may have them.

    Args:
        metric: the metric's name, for the error.
        kind: of metric: histograms and summaries have a label of their own.
        names: as declared.
        taken: names that every series has already.
        utf8: allow any text, as Prometheus 3 does.

    Raises:
        ConfigurationError: naming the label at fault.
    """
    own = _OWN_LABEL.get(kind)
    field = f"a label of {metric}"
    for name in names:
        if not isinstance(name, str):
            raise ConfigurationError(field, name, "text")
    for name in names:
        allowed = "letters, digits and underscores, and no digit first"
        require(_fits(name, _LABEL, utf8=utf8), field, name, _ANY if utf8 else allowed)
        # As readers see it that do not ask for any text.
        seen = legal(name)
        require(not seen.startswith("__"), field, name, "without `__` first: Prometheus's own")
        require(seen != own and seen not in taken, field, name, "one that is not taken already")
        require(sum(legal(each) == seen for each in names) == 1, field, name, "unlike the others")
    return names


def _fits(name: str, legacy: re.Pattern[str], *, utf8: bool) -> bool:
    if utf8:
        return bool(name) and name == clean(name) and "\n" not in name
    return legacy.fullmatch(name) is not None


def series_names(name: str, kind: str) -> set[str]:
    """Return every name that a family may have in any format, itself included.

    Where two families share one of them, some format can't tell them apart.
    """
    names = {name, *(name + suffix for suffix in _SUFFIXES.get(kind, ()))}
    # A reader that asks for names without UTF-8 gets them with underscores.
    return names | {_FOREIGN_BUT_COLON.sub("_", each) for each in names}


class Claims:
    """Which family has which names, during one scrape."""

    __slots__ = ("_last", "_taken")

    def __init__(self, counters: Iterable[str]) -> None:
        self._taken = {each for name in counters for each in series_names(name, "counter")}
        self._last: str | None = None

    def take(self, name: str, kind: str, *, goes_on: bool) -> bool:
        """Say whether a family may have its names; they are taken then.

        Args:
            name: of the family.
            kind: of metric.
            goes_on: whether it is only a part, if the last one had the same name.
        """
        if goes_on and name == self._last:
            return True
        names = series_names(name, kind)
        if not self._taken.isdisjoint(names):
            return False
        self._taken |= names
        self._last = name
        return True
