"""The ports of a run: chosen once, held to its end, refused in one line."""

from __future__ import annotations

import socket
import struct
import sys
from contextlib import closing

import pytest

from common.process.preflight import RefusedError
from common.process.tcp_ports import HOST, Ports

# Of ip(7), since Linux 6.3.
IP_LOCAL_PORT_RANGE = 51
NAMES = ("a", "b", "c")


def port_of(address: str) -> int:
    return int(address.rpartition(":")[2])


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a held port cannot be listened on")
def test_a_held_port_is_its_server_s_and_nobody_else_s() -> None:
    """Also between two lives of its server."""
    with Ports() as ports:
        addresses = ports.many(0, NAMES, "--base-port")
        ports.chosen()
        port = port_of(addresses["b"])
        for _ in range(2):
            with socket.create_server((HOST, port)):
                pass
            with closing(socket.socket()) as outgoing, pytest.raises(OSError, match="in use"):
                outgoing.bind((HOST, port))
    with closing(socket.socket()) as outgoing:
        outgoing.bind((HOST, port))


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a held port cannot be listened on")
def test_the_system_gives_a_held_port_to_no_connection() -> None:
    """Told to choose from this one port, it finds none as long as that is held."""
    with socket.create_server((HOST, 0)) as server:
        there = server.getsockname()
        with Ports() as ports:
            port = ports.one(0, "a", "--base-port")
            with closing(from_one_port(port)) as outgoing, pytest.raises(OSError, match="assign"):
                outgoing.connect(there)
        with closing(from_one_port(port)) as outgoing:
            outgoing.connect(there)
            assert outgoing.getsockname()[1] == port


def from_one_port(port: int) -> socket.socket:
    """A socket whose connections the system may begin at this port alone."""
    outgoing = socket.socket()
    try:
        outgoing.setsockopt(
            socket.IPPROTO_IP, IP_LOCAL_PORT_RANGE, struct.pack("=I", port << 16 | port)
        )
    except OSError:
        outgoing.close()
        pytest.skip("this kernel does not let a socket choose its range of ports")
    return outgoing


def test_a_port_that_two_would_have_is_refused() -> None:
    with Ports() as ports:
        base = port_of(ports.many(0, NAMES, "--base-port")["a"])
        with pytest.raises(
            RefusedError, match=rf"port {base} \(the panel\) is that of a: .*--panel"
        ):
            ports.one(base, "the panel", "--panel-port")


def test_a_port_that_somebody_listens_on_is_refused() -> None:
    with socket.create_server((HOST, 0)) as taken, Ports() as ports:
        port = taken.getsockname()[1]
        with pytest.raises(RefusedError, match=rf"port {port} \(a\) is taken: .*--base-port"):
            ports.many(port, NAMES, "--base-port")


def test_a_port_that_needs_rights_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(socket.socket, "bind", denied)
    with (
        Ports() as ports,
        pytest.raises(RefusedError, match=r"cannot use port 80 \(a\): Permission"),
    ):
        ports.one(80, "a", "--base-port")
