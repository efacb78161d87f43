"""A Redis master with a replica, watched by a sentinel that fails over within a second or so."""

from contextlib import ExitStack
from typing import Self

from tests.servers.ports import LOOPBACK
from tests.servers.redis import RedisServer
from tests.servers.waiting import wait_until

MASTER = "mymaster"


class RedisSentinel:
    """One master, one replica, one sentinel; a context manager.

    Attributes:
        servers: The two data servers, the first master first.
        sentinel: The one who watches.
    """

    def __init__(self) -> None:
        self.servers: list[RedisServer] = []
        self.sentinel: RedisServer | None = None
        self._stack = ExitStack()

    @property
    def url(self) -> str:
        """Its `redis+sentinel://` URL."""
        assert self.sentinel is not None
        return f"redis+sentinel://{LOOPBACK}:{self.sentinel.port}/{MASTER}"

    @property
    def master_port(self) -> int:
        """The port of the server that the sentinel takes for the master."""
        assert self.sentinel is not None
        reply = self.sentinel.call("SENTINEL", "GET-MASTER-ADDR-BY-NAME", MASTER)
        assert isinstance(reply, list)
        assert isinstance(reply[1], bytes)
        return int(reply[1])

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            master = stack.enter_context(RedisServer())
            replica = stack.enter_context(
                RedisServer(settings={"replicaof": f"{LOOPBACK} {master.port}"})
            )
            self.servers = [master, replica]
            self.sentinel = stack.enter_context(
                RedisServer(
                    arguments=("--sentinel",),
                    settings={
                        "sentinel monitor": f"{MASTER} {LOOPBACK} {master.port} 1",
                        "sentinel down-after-milliseconds": f"{MASTER} 300",
                        "sentinel failover-timeout": f"{MASTER} 3000",
                    },
                )
            )
            wait_until(self._knows_replica, timeout=120, what="the sentinel to see the replica")
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._stack.close()

    def flush(self) -> None:
        """Remove all keys and scripts from the master."""
        next(each for each in self.servers if each.port == self.master_port).flush()

    def failover(self) -> None:
        """Kill the master, and return when the replica has taken over."""
        before = self.master_port
        next(each for each in self.servers if each.port == before).kill()
        wait_until(lambda: self.master_port != before, timeout=120, what="the failover")

    def _knows_replica(self) -> bool:
        assert self.sentinel is not None
        replicas = self.sentinel.call("SENTINEL", "REPLICAS", MASTER)
        return isinstance(replicas, list) and any(
            isinstance(each, list) and b"ok" in each[each.index(b"master-link-status") + 1 :][:1]
            for each in replicas
        )
