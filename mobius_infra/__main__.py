"""`python -m mobius_infra COMMAND`: what can be done from a terminal."""

import sys
from importlib import import_module

COMMANDS = {
    "audit": "mobius_infra.security._audit_terminal",
    "status": "mobius_infra.health._terminal",
}
"""The module of each command; its `main` takes the arguments, and returns the exit code."""


def main(arguments: list[str]) -> int:
    """Run a command, and return its exit code; 64 if there is none of that name."""
    name, *rest = arguments or [""]
    if name not in COMMANDS:
        print(f"usage: python -m mobius_infra {{{','.join(COMMANDS)}}} …", file=sys.stderr)  # noqa: T201
        return 64
    code: int = import_module(COMMANDS[name]).main(rest)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
