import socket

from tests.servers.ports import BUS_OFFSET, LOOPBACK, free_port, is_free


def test_a_port_that_something_listens_on_is_not_free() -> None:
    with socket.create_server((LOOPBACK, 0)) as listener:
        assert not is_free(listener.getsockname()[1])


def test_a_free_port_and_its_bus_port_can_be_bound() -> None:
    port = free_port()
    for wanted in (port, port + BUS_OFFSET):
        socket.create_server((LOOPBACK, wanted)).close()


def test_free_ports_lie_below_those_given_to_outgoing_connections() -> None:
    assert all(free_port() + BUS_OFFSET < 32_768 for _ in range(20))
