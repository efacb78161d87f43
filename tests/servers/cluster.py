"""A Redis Cluster: three masters on loopback, without replicas."""

from contextlib import ExitStack
from typing import Self

from tests.servers.ports import LOOPBACK
from tests.servers.redis import RedisServer
from tests.servers.waiting import wait_until

SLOTS = 16_384
_SETTINGS = {
    "cluster-enabled": "yes",
    "cluster-node-timeout": "1000",
    "cluster-announce-ip": LOOPBACK,
}


class RedisCluster:
    """Three masters that know each other and share the slots evenly; a context manager.

    Attributes:
        nodes: The servers.
    """

    def __init__(self) -> None:
        self.nodes = [RedisServer(settings=_SETTINGS) for _ in range(3)]
        self._stack = ExitStack()

    @property
    def url(self) -> str:
        """Its URL, naming one node: a client finds the others."""
        return f"redis+cluster://{LOOPBACK}:{self.nodes[0].port}"

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            for node in self.nodes:
                stack.enter_context(node)
            self._form()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._stack.close()

    def flush(self) -> None:
        """Remove all keys and scripts."""
        for node in self.nodes:
            node.flush()

    def owner(self, slot: int) -> RedisServer:
        """Return the node that a slot was given to at the start."""
        return self.nodes[min(slot * 3 // SLOTS, 2)]

    def identity(self, node: RedisServer) -> str:
        """Return the id that the cluster knows a node by."""
        return _text(node.call("CLUSTER", "MYID"))

    def migrate(self, slot: int, to: RedisServer) -> None:
        """Begin to move a slot: its owner now answers ASK for keys that it does not have."""
        owner = self.owner(slot)
        to.call("CLUSTER", "SETSLOT", slot, "IMPORTING", self.identity(owner))
        owner.call("CLUSTER", "SETSLOT", slot, "MIGRATING", self.identity(to))

    def assign(self, slot: int, to: RedisServer) -> None:
        """Give a slot to a node: the others now answer MOVED."""
        for node in self.nodes:
            node.call("CLUSTER", "SETSLOT", slot, "NODE", self.identity(to))

    def _form(self) -> None:
        first = self.nodes[0]
        for number, node in enumerate(self.nodes):
            start, end = -(-number * SLOTS // 3), -(-(number + 1) * SLOTS // 3) - 1
            node.call("CLUSTER", "ADDSLOTSRANGE", start, end)
            # Otherwise two nodes may both think that their configuration is the newest.
            node.call("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
            if node is not first:
                node.call("CLUSTER", "MEET", LOOPBACK, first.port)
        wait_until(self._is_formed, timeout=120, what="the cluster to form")

    def _is_formed(self) -> bool:
        for node in self.nodes:
            ranges = node.call("CLUSTER", "SLOTS")
            if not isinstance(ranges, list) or len(ranges) != 3:
                return False
            if "cluster_state:ok" not in _text(node.call("CLUSTER", "INFO")):
                return False
        return True


def _text(reply: object) -> str:
    assert isinstance(reply, bytes)
    return reply.decode()
