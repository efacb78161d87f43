import os
import signal

import pytest

from tests.conftest import OwnRedisServer
from tests.servers._process import ServerError
from tests.servers._resp import RespError
from tests.servers.missing import ServerUnavailableError
from tests.servers.redis import RedisServer, find_redis_flavour, redis_flavours

pytestmark = pytest.mark.usefixtures("redis_server")


def test_each_flavour_found_runs_in_the_version_it_reports(
    own_redis_server: OwnRedisServer,
) -> None:
    for flavour in redis_flavours():
        info = own_redis_server(flavour).info()
        kind = "valkey" if "valkey" in flavour.name else "redis"
        assert info[f"{kind}_version"] == ".".join(map(str, flavour.version))


def test_a_flavour_that_is_not_there_is_unavailable() -> None:
    with pytest.raises(ServerUnavailableError, match="no dragonfly server") as caught:
        find_redis_flavour("dragonfly")
    assert caught.value.server == "dragonfly"


def test_the_sessions_server_is_empty_for_each_test(
    redis_server: RedisServer, redis_url: str
) -> None:
    assert redis_url == redis_server.url
    redis_server.call("SET", "left", "behind")
    redis_server.flush()
    assert redis_server.call("DBSIZE") == 0


def test_valkey_is_served_beside_redis(valkey_server: RedisServer, valkey_url: str) -> None:
    assert valkey_url == valkey_server.url
    assert valkey_server.info()["server_name"] == "valkey"


def test_replies_keep_their_types(redis_server: RedisServer, redis_url: str) -> None:
    with redis_server.connect() as connection:
        assert connection.call("SET", "key", b"\x00\r\n\xff") == "OK"
        assert connection.call("GET", "key") == b"\x00\r\n\xff"
        assert connection.call("GET", "absent") is None
        assert connection.call("RPUSH", "list", "a", 1) == 2
        assert connection.call("LRANGE", "list", 0, -1) == [b"a", b"1"]
        with pytest.raises(RespError, match="WRONGTYPE"):
            connection.call("GET", "list")


def test_a_persistent_server_survives_a_kill_on_the_same_port(
    own_redis_server: OwnRedisServer,
) -> None:
    server = own_redis_server(persistent=True)
    url = server.url
    server.call("SET", "key", "value")
    server.kill()
    assert not server.running
    with pytest.raises(ConnectionRefusedError):
        server.call("PING")
    server.start()
    assert server.url == url
    assert server.call("GET", "key") == b"value"


def test_a_server_without_persistence_restarts_empty(own_redis_server: OwnRedisServer) -> None:
    server = own_redis_server()
    server.call("SET", "key", "value")
    server.restart()
    assert server.call("GET", "key") is None


def test_a_paused_server_accepts_and_does_not_answer_until_resumed(
    own_redis_server: OwnRedisServer,
) -> None:
    server = own_redis_server()
    with server.connect(timeout=0.05) as connection:
        server.pause()
        with pytest.raises(TimeoutError):
            connection.call("PING")
    server.resume()
    assert server.call("PING") == "PONG"


def test_a_paused_server_can_be_stopped(own_redis_server: OwnRedisServer) -> None:
    server = own_redis_server()
    server.pause()
    server.stop()
    assert not server.running


def test_a_password_is_required_and_part_of_the_url(own_redis_server: OwnRedisServer) -> None:
    server = own_redis_server(password="sesame")
    assert server.url == f"redis://:sesame@127.0.0.1:{server.port}"
    with server.connect() as connection:
        assert connection.call("PING") == "PONG"
    server.password = None
    with pytest.raises(RespError, match="NOAUTH"):
        server.call("PING")


def test_writes_are_refused_above_maxmemory(own_redis_server: OwnRedisServer) -> None:
    server = own_redis_server(maxmemory=1)
    with pytest.raises(RespError, match="OOM"):
        server.call("SET", "key", "value")


def test_a_running_server_is_not_started_again(redis_server: RedisServer) -> None:
    with pytest.raises(ServerError, match="running already"):
        redis_server.start()


def test_a_server_that_ends_at_its_start_fails_with_its_log() -> None:
    server = RedisServer(settings={"no-such-setting": "1"})
    with pytest.raises(ServerError, match="no-such-setting"), server:
        pass
    assert not server.running


def test_a_stopped_server_can_be_neither_paused_nor_resumed(
    own_redis_server: OwnRedisServer,
) -> None:
    server = own_redis_server()
    server.stop()
    for action in (server.pause, server.resume):
        with pytest.raises(ServerError, match="is not running"):
            action()


def test_a_server_that_died_by_itself_is_seen_as_stopped(own_redis_server: OwnRedisServer) -> None:
    server = own_redis_server()
    os.kill(server.pid, signal.SIGKILL)
    server.stop()
    assert not server.running
