"""uvloop by one call, and the standard loop where it is missing."""

import asyncio
import subprocess
import sys

import pytest

from mobius_infra.perf import install_uvloop, loop_factory, run


async def kind() -> str:
    return type(asyncio.get_running_loop()).__module__


def test_it_runs_on_uvloop_if_that_is_there() -> None:
    pytest.importorskip("uvloop")
    assert run(kind()).startswith("uvloop")
    assert asyncio.run(kind()).startswith("asyncio")


def test_it_runs_on_the_standard_loop_if_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvloop", None)
    monkeypatch.delitem(sys.modules, "mobius_infra.perf._uvloop_loop", raising=False)
    assert run(kind()).startswith("asyncio")
    assert loop_factory() is asyncio.new_event_loop
    assert not install_uvloop()


def test_installed_it_is_used_by_every_runner() -> None:
    pytest.importorskip("uvloop")
    program = (
        "import asyncio\nfrom mobius_infra.perf import install_uvloop\n"
        "async def main(): print(type(asyncio.get_running_loop()).__module__)\n"
        "assert install_uvloop()\nasyncio.run(main())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("uvloop")
