"""Lists of blocks as text: one address, range or subject a line."""

from collections.abc import Iterable

from mobius_infra.core import ConfigurationError
from mobius_infra.security._blocklist_names import Name, read_name
from mobius_infra.security._blocklist_steps import Block


def read_list(text: str) -> list[Name]:
    """Read a list; what follows `#`, and empty lines, are skipped.

    Raises:
        ConfigurationError: naming the line that is no subject; nothing has been taken in then.
    """
    names: dict[str, Name] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        said = line.partition("#")[0].strip()
        if said:
            try:
                name = read_name(said)
            except ConfigurationError as error:
                raise ConfigurationError(f"line {number}", said, error.allowed) from None
            names[name.text] = name
    return list(names.values())


def write_list(blocks: Iterable[Block]) -> str:
    """Return a list that `read_list` reads; addresses stand without `ip:`."""
    return "".join(f"{name.removeprefix('ip:')}\n" for name in sorted(b.subject for b in blocks))
