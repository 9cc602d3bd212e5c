"""The port at which a service shows its metrics that does not speak HTTP."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing
from http.client import HTTPConnection, RemoteDisconnected
from typing import Any

import pytest

from common.telemetry.side_port import TOGETHER_MAX, SidePort

PAGE = b"checkout_orders 1\n"


@pytest.fixture
def port() -> Iterator[SidePort]:
    made = SidePort("127.0.0.1", 0, lambda: PAGE)
    yield made
    made.close()


def asked(connection: HTTPConnection, method: str, path: str, body: bytes | None = None) -> Any:
    connection.request(method, path, body)
    answer = connection.getresponse()
    return answer.status, answer.read()


def test_it_answers_again_and_again_on_one_connection(port: SidePort) -> None:
    with closing(HTTPConnection(port.address, timeout=10)) as connection:
        for _ in range(3):
            assert asked(connection, "GET", "/metrics") == (200, PAGE)
        assert asked(connection, "HEAD", "/metrics?x=1") == (200, b"")
        assert asked(connection, "GET", "/other")[0] == 404
    with closing(HTTPConnection(port.address, timeout=10)) as connection:
        # What it does not read of a question is not the next one.
        assert asked(connection, "GET", "/metrics", b"GET /x HTTP/1.1\r\n\r\n") == (200, PAGE)
        assert asked(connection, "GET", "/metrics") == (200, PAGE)


def test_a_page_that_cannot_be_made_is_an_error_and_not_the_end() -> None:
    def broken() -> bytes:
        raise ValueError("no figures")

    port = SidePort("127.0.0.1", 0, broken)
    with closing(port), closing(HTTPConnection(port.address, timeout=10)) as connection:
        assert [asked(connection, "GET", "/metrics")[0] for _ in range(2)] == [500, 500]


def test_connections_that_say_nothing_are_bounded_and_leave_room_again(port: SidePort) -> None:
    host, _, number = port.address.partition(":")
    with ExitStack() as idle:
        for _ in range(TOGETHER_MAX):
            idle.enter_context(socket.create_connection((host, int(number))))
        with (
            closing(HTTPConnection(port.address, timeout=10)) as late,
            pytest.raises((RemoteDisconnected, ConnectionError)),
        ):
            asked(late, "GET", "/metrics")
    found = None
    for _ in range(200):
        # They have left: their threads see that one after the other.
        with closing(HTTPConnection(port.address, timeout=10)) as again:
            try:
                found = asked(again, "GET", "/metrics")
            except (RemoteDisconnected, ConnectionError):
                continue
            break
    assert found == (200, PAGE)


def test_a_connection_that_cannot_be_taken_is_not_the_end(
    port: SidePort, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Descriptors or threads were short for a moment: the next question is answered."""
    begun, failures = threading.Thread.start, iter([RuntimeError("can't start new thread")] * 2)

    def start(thread: threading.Thread) -> None:
        error = next(failures, None)
        if error is not None:
            raise error
        begun(thread)

    monkeypatch.setattr(threading.Thread, "start", start)
    for _ in range(2):
        with (
            closing(HTTPConnection(port.address, timeout=10)) as refused,
            pytest.raises((RemoteDisconnected, ConnectionError)),
        ):
            asked(refused, "GET", "/metrics")
    with closing(HTTPConnection(port.address, timeout=10)) as connection:
        assert asked(connection, "GET", "/metrics") == (200, PAGE)
    assert caplog.text.count("could not be taken") == 1


def test_a_closed_port_is_free_and_its_thread_ends() -> None:
    port = SidePort("127.0.0.1", 0, lambda: PAGE)
    threads = [each for each in threading.enumerate() if each.name == "metrics"]
    port.close()
    threads[-1].join(10)
    assert not threads[-1].is_alive()
    host, _, number = port.address.partition(":")
    with socket.create_server((host, int(number))):
        pass
