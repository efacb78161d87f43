"""The one module that imports idna."""

import idna


def to_ascii(host: str) -> str:
    """Return a host's name in ASCII, as DNS has it (IDNA 2008, UTS 46 without transition).

    Raises:
        ValueError: if it is no name.
    """
    return idna.encode(host, uts46=True, std3_rules=True).decode("ascii")
