import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.servers.ports import free_port
from tests.servers.redis import RedisServer
from tests.servers.waiting import wait_until

pytestmark = pytest.mark.usefixtures("redis_server")

ROOT = Path(__file__).parents[2]
SCRIPT = """
import sys
from tests.servers.ports import free_port
from tests.servers.redis import RedisServer
server = RedisServer()
server.start()
print(server.pid, server.directory, flush=True)
sys.stdin.read()
"""


def is_running(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.mark.parametrize("way", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_server_outlives_the_process_that_started_it(
    way: signal.Signals,
) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", SCRIPT],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as starter:
        assert starter.stdout is not None
        pid, directory = starter.stdout.readline().split()
        assert is_running(int(pid))
        starter.send_signal(way)
    wait_until(lambda: not is_running(int(pid)), timeout=60, what="the server to be gone")
    wait_until(lambda: not Path(directory).exists(), timeout=60, what="its files to be gone")


def test_closing_leaves_neither_process_nor_files() -> None:
    # Its children's own would be nobody's, and another server's may come and go meanwhile.
    before = set(psutil.Process().children())
    with RedisServer() as server:
        directory = server.directory
        assert directory.is_dir()
    assert not directory.exists()
    assert set(psutil.Process().children()) == before
    server.close()


def test_a_failing_block_closes_its_server() -> None:
    server = RedisServer()
    with pytest.raises(ZeroDivisionError), server:
        raise ZeroDivisionError
    assert not server.running


def test_the_port_is_chosen_again_if_another_process_was_faster(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    ports = iter([redis_server.port, redis_server.port, 0])
    real = free_port()
    monkeypatch.setattr("tests.servers._process.free_port", lambda: next(ports) or real)
    with RedisServer() as server:
        assert server.port == real
        assert server.info()["process_id"] == str(server.pid)


def test_a_server_tells_its_state_but_not_its_password() -> None:
    with RedisServer(password="sesame") as server:
        text = repr(server)
        assert f"on port {server.port}, running" in text
        assert "sesame" not in text
    assert "stopped" in repr(server)
