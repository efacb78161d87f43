"""Where server programs come from: wheels that ship them, and the PATH."""

import importlib.util
import re
import shutil
import subprocess
from pathlib import Path


def in_wheel(package: str, pattern: str) -> list[Path]:
    """Return the files of an installed package that match `pattern`, without importing it."""
    spec = importlib.util.find_spec(package)
    folders = spec.submodule_search_locations if spec else None
    return sorted(path for folder in folders or () for path in Path(folder).glob(pattern))


def on_path(program: str) -> list[Path]:
    """Return the file that `program` stands for on the PATH, if any, behind its links."""
    found = shutil.which(program)
    return [Path(found).resolve()] if found else []


def version_of(program: Path) -> tuple[int, ...]:
    """Return the version that `program --version` reports; empty if it does not run here."""
    try:
        told = subprocess.check_output([program, "--version"], text=True, timeout=60)
    except (OSError, subprocess.SubprocessError):
        return ()
    match = re.search(r"\d+(\.\d+)+", told)
    return tuple(map(int, match[0].split("."))) if match else ()
