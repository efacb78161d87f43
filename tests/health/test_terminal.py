"""The status in a terminal, of a service that is really served."""

import asyncio
import sys
from pathlib import Path

import pytest

from mobius_infra.__main__ import main as command
from mobius_infra.health import serve
from mobius_infra.health._terminal import StatusUnavailableError, main, read_status
from tests.health.page.scene import HOSTILE, Mood, make_scene

TOKEN = "a token of sufficient length"


async def show(*arguments: str) -> int:
    return await asyncio.to_thread(main, list(arguments))


@pytest.mark.parametrize(("mood", "code"), [("calm", 0), ("incident", 2), ("hostile", 0)])
async def test_it_is_printed_once_and_its_state_is_the_exit_code(
    mood: Mood, code: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    scene = await make_scene(mood)
    async with serve(scene.app, port=0) as port:
        assert await show(f"http://127.0.0.1:{port}/status", "--once") == code
    said = capsys.readouterr().out
    if mood == "hostile":
        assert HOSTILE in said
    else:
        assert "Price bot" in said
        assert ("because of database" in said) == (mood == "incident")
        assert ("database down" in said) == (mood == "incident")
        assert "99.988 %" in said


async def test_a_token_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    scene = await make_scene("calm", token=TOKEN)
    async with serve(scene.app, port=0) as port:
        url = f"http://127.0.0.1:{port}"
        assert await show(url, "--once") == 3
        assert "give --token" in capsys.readouterr().err
        assert await show(url, "--once", "--token", TOKEN) == 0


async def test_without_an_answer_it_says_why(capsys: pytest.CaptureFixture[str]) -> None:
    scene = await make_scene("calm")
    async with serve(scene.app, port=0) as port:
        pass
    assert await show(f"http://127.0.0.1:{port}", "--once") == 3
    assert "refused" in capsys.readouterr().err
    with pytest.raises(StatusUnavailableError, match="not an http"):
        read_status(Path("/etc/passwd").as_uri())


async def test_it_follows_the_service_until_it_is_interrupted(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = await make_scene("calm")
    looks = iter(["", "", "end"])

    def sleep(seconds: float) -> None:
        if next(looks):
            raise KeyboardInterrupt

    monkeypatch.setattr("mobius_infra.health._terminal.time.sleep", sleep)
    async with serve(scene.app, port=0) as port:
        assert await show(f"http://127.0.0.1:{port}") == 0
    assert "Price bot" in capsys.readouterr().out


async def test_as_a_command() -> None:
    assert command([]) == 64
    scene = await make_scene("empty")
    async with serve(scene.app, port=0) as port:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "mobius_infra", "status", f"http://127.0.0.1:{port}", "--once",
            stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        said, _ = await process.communicate()
    assert process.returncode == 0
    assert b"Price bot" in said
