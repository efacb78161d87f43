"""Every check of the project, each in an environment that it makes for itself."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import nox

nox.needs_version = ">=2025.2"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.sessions = ["lint", "types", "imports", "tests"]
nox.options.reuse_venv = "yes"
os.environ.setdefault("UV_PYTHON_DOWNLOADS", "never")

PROJECT = nox.project.load_toml("pyproject.toml")
SUPPORTED = nox.project.python_versions(PROJECT, max_version="3.13")
REQUIRED = SUPPORTED[0]
CODE = ["mobius_infra", "tests", "benchmarks", "examples", "docs", "noxfile.py"]


def works(python: str) -> bool:
    """Say whether `python` starts: a version manager's shim may stand for nothing."""
    try:
        return subprocess.run([python, "-c", ""], capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def find_pythons() -> list[str]:
    """Return the supported versions that this machine can run, putting hidden ones on the PATH."""
    found = []
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"), "versions")
    for version in SUPPORTED:
        name = f"python{version}"
        onpath = shutil.which(name)
        hidden = sorted(pyenv.glob(f"{version}.*/bin/{name}"))
        running = "{}.{}".format(*sys.version_info)
        if running == version or (onpath is not None and works(onpath)):
            found.append(version)
        elif hidden and works(str(hidden[-1])):
            os.environ["PATH"] = os.pathsep.join([str(hidden[-1].parent), os.environ["PATH"]])
            found.append(version)
    return found


PYTHONS = find_pythons()


def install(session: nox.Session, *groups: str, extras: str = "all") -> None:
    """Install the project with `extras`, and the dependency groups."""
    session.install("-e", f".[{extras}]", *nox.project.dependency_groups(PROJECT, *groups))


@nox.session(python=PYTHONS or [REQUIRED])
def tests(session: nox.Session) -> None:
    """Run the tests on every Python found; the oldest supported one must be there."""
    if REQUIRED not in PYTHONS:
        session.error(f"Python {REQUIRED} is required for the tests and was not found")
    install(session, "test")
    # Each worker starts servers of its own, so there are few; `-- -n 0` runs all in one process.
    workers = ("-n", "auto", "--maxprocesses", "4", "--dist", "worksteal")
    # The session's servers are asked on the oldest Python alone; all else is run on each.
    some = () if session.python == REQUIRED else ("-m", "not external_service")
    session.run("pytest", *workers, *some, *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and formatting."""
    session.install(*nox.project.dependency_groups(PROJECT, "lint"))
    session.run("ruff", "check", *CODE)
    session.run("ruff", "format", "--check", *CODE)


@nox.session
def types(session: nox.Session) -> None:
    """Check types strictly, those of the decorated functions' signatures included."""
    install(session, "types")
    session.run("mypy", *session.posargs)


@nox.session
def imports(session: nox.Session) -> None:
    """Check the architecture: who may import whom."""
    install(session, "imports", extras="all")
    session.run("lint-imports", "--no-cache")


@nox.session
def bench(session: nox.Session) -> None:
    """Measure against the floor and the peers, in one run."""
    install(session, "bench")
    session.run("pytest", "benchmarks", "--benchmark-disable-gc", *session.posargs)


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documentation; a broken reference is an error."""
    install(session, "docs")
    session.run("sphinx-build", "-nW", "--keep-going", "-b", "html", "docs", "docs/_build/html")


@nox.session
def demo(session: nox.Session) -> None:
    """Run the showcase bot; `-- --for 20` ends it after twenty seconds."""
    install(session, "bot", extras="redis,sql,web")
    session.run("python", "-m", "examples.bot.demo", *session.posargs)
