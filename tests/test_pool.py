"""Connections: what is sent, how often, and what is said when one breaks."""

from __future__ import annotations

import socket
import threading

import pytest

import stillframe
from cli_support import TOKEN, Scripted, served
from stillframe import connect


def test_a_wrong_token_is_unauthorized() -> None:
    with served() as server:
        for token in ("wrong", None):
            with connect(server.url, token) as client, pytest.raises(stillframe.Unauthorized):
                client.states()
        with connect(f"{server.url}/?token={TOKEN}") as client:
            assert client.states() == ["initial"]


def test_a_server_that_is_gone_is_unreachable_with_its_address() -> None:
    with served() as server:
        client = connect(server.url, TOKEN)
        client.states()
    with pytest.raises(
        stillframe.ServerUnreachable, match=f"nobody answers at {server.url}: Connection refused"
    ):
        client.states()


def test_what_is_no_url_is_a_bad_request() -> None:
    for url in ("127.0.0.1:80", "ftp://host", "http://", "http://host:port"):
        with pytest.raises(stillframe.BadRequest):
            connect(url)


def test_an_execution_that_broke_off_is_not_sent_again() -> None:
    def breaks(connection: socket.socket) -> None:
        server.read(connection)

    server = Scripted(breaks, breaks)
    with (
        server,
        connect(server.url) as client,
        pytest.raises(stillframe.ServerUnreachable, match="broke off before it had answered POST /execute"),
    ):
        client.execute("x = 1")
    assert len(server.requests) == 1


def test_a_connection_that_the_server_closed_at_rest_is_replaced_before_an_execution_is_sent() -> None:
    closed = threading.Event()

    def first(connection: socket.socket) -> None:
        server.answer(connection, '{"states": []}')

    def second(connection: socket.socket) -> None:
        server.answer(connection, '{"output": [], "state_name": "one", "error": null}')

    server = Scripted(lambda c: (first(c), c.close(), closed.set())[0], second)
    with server, connect(server.url) as client:
        client.states()
        assert closed.wait(10)
        assert client.execute("x = 1").state == "one"
    assert [request.split()[1] for request in server.requests] == [b"/states", b"/execute"]


def test_a_question_whose_resting_connection_breaks_is_asked_once_more() -> None:
    def first(connection: socket.socket) -> None:
        server.answer(connection, '{"states": ["a"]}')
        server.read(connection)

    def second(connection: socket.socket) -> None:
        server.answer(connection, '{"states": ["b"]}')

    server = Scripted(first, second)
    with server, connect(server.url) as client:
        assert (client.states(), client.states()) == (["a"], ["b"])
    assert len(server.requests) == 3


def test_a_silent_server_is_given_up_after_the_timeout() -> None:
    over = threading.Event()

    def silent(connection: socket.socket) -> None:
        server.read(connection)
        over.wait(30)

    server = Scripted(silent)
    with server, connect(server.url, timeout_s=0.1) as client:
        with pytest.raises(stillframe.ServerUnreachable, match=r"did not answer POST /execute within 0\.1 s"):
            client.execute("1")
        over.set()


def test_a_stream_that_ends_without_a_result_is_unreachable() -> None:
    def stream(connection: socket.socket) -> None:
        server.read(connection)
        connection.sendall(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"8\r\nevent: x\r\n"
        )

    server = Scripted(stream)
    with server, connect(server.url) as client, pytest.raises(stillframe.ServerUnreachable):
        client.execute("1", on_output=lambda event, data: None)


def test_an_answer_that_is_no_kernels_is_an_error_that_shows_it() -> None:
    server = Scripted(
        lambda c: server.answer(c, "<html>", status="404 Not Found\r\nConnection: close"),
        lambda c: server.answer(c, "[]"),
    )
    with server, connect(server.url) as client:
        for _ in range(2):
            with pytest.raises(stillframe.StillframeError, match=server.url):
                client.states()


def test_events_are_taken_up_again_where_they_broke_off() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    asked: list[bytes] = []

    def send(connection: socket.socket, text: bytes, end: bytes) -> None:
        asked.append(server.read(connection))
        connection.sendall(head + b"%x\r\n%s\r\n%s" % (len(text), text, end))

    server = Scripted(
        lambda c: send(c, b'id: 7\r\nevent: tree\r\ndata: {"a":\r\ndata: 1}\r\n\r\n: ping\r\n\r\n', b""),
        lambda c: send(c, b"event: reset\ndata: {}\n\n", b"0\r\n\r\n"),
    )
    with server, connect(server.url) as client:
        assert list(client.events()) == [("tree", {"a": 1}), ("reset", {})]
    assert b"Last-Event-ID: 7" in asked[1] and b"Last-Event-ID" not in asked[0]
