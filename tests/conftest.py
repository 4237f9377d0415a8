"""One server for most tests, reset before each module, and fresh ones where a test ends things."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.server import Bell, Server

# A shell without job control starts what goes to the background with SIGINT ignored, children inherit that,
# and then nothing that is sent a Ctrl-C here would hear it.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    cwd = tmp_path_factory.mktemp("shared") / "cwd"
    cwd.mkdir()
    server = Server(cwd).start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def kernel(shared_server: Server) -> Server:
    """The session's server, reset: at its start a module finds the initial state and nothing else."""
    if shared_server.process.poll() is not None:
        shared_server.start()  # a test of another module has ended it, and has failed
    shared_server.reset()
    return shared_server


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Server]:
    """A server for this test alone; afterwards no process of it is left."""
    cwd = tmp_path / "cwd"
    cwd.mkdir()
    server = Server(cwd).start()
    yield server
    server.stop()


@pytest.fixture
def bell(tmp_path: Path) -> Iterator[Bell]:
    bell = Bell(tmp_path / "bell")
    yield bell
    bell.close()
