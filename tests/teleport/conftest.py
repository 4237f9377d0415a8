"""Places to teleport to, and travellers that go there; afterwards nothing of a teleport may be left."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sshd

from support.processes import is_alive, until, with_marker

HERE = Path(__file__).parent
TRAVELLER = HERE / "traveller.py"


class Road:
    """From here to one kind of place."""

    def __init__(self, name: str, to: Any, tools: Path | None, marker: str) -> None:
        self.name = name
        self.to = to
        self.is_same_process = name == "local"
        self.tools = tools
        path = os.environ["PATH"] if tools is None else f"{tools}{os.pathsep}{os.environ['PATH']}"
        self.environment = dict(os.environ, PATH=path, PYTHONPATH=str(HERE), STILLFRAME_TEST_MARKER=marker)
        self.options: dict[str, Any] = {"to": to}
        if name != "local":
            self.options["python"] = sys.executable
        self.started: list[subprocess.Popen[bytes]] = []

    def command(self, program: str, **options: Any) -> list[str]:
        return [sys.executable, str(TRAVELLER), program, repr({**self.options, **options})]

    def run(self, program: str, stdin: bytes = b"", cwd: Path | None = None, **options: Any) -> Any:
        """Run a traveller to its end."""
        command = self.command(program, **options)
        return subprocess.run(
            command, env=self.environment, input=stdin, capture_output=True, timeout=60, cwd=cwd, check=False
        )

    def start(self, program: str, **options: Any) -> subprocess.Popen[bytes]:
        """Start one whose standard streams are pipes, as the leader of a group of its own."""
        pipe = subprocess.PIPE
        process = subprocess.Popen(
            self.command(program, **options),
            env=self.environment,
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
            start_new_session=True,
        )
        self.started.append(process)
        return process


@pytest.fixture(scope="session")
def ssh_place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Path]]:
    """A sshd on this machine that `ssh://here` means, and the folder with the ssh that knows it."""
    if sshd.SSHD is None or shutil.which("ssh") is None:
        pytest.skip(sshd.WHY_NOT)
    place = tmp_path_factory.mktemp("sshd")
    sshd.make_keys(place)
    port = sshd.free_port()
    tools = sshd.make_ssh(place, {"here": ("127.0.0.1", port)})
    with sshd.running(place, "127.0.0.1", port):
        yield place, tools


WAYS = {
    "local": "local",
    "shell": ["sh", "-c"],
    "namespaces": ["unshare", "--mount", "--uts", "--ipc", "sh", "-c"],
    "object": "detour",
    "ssh": "ssh://here",
}
"""The contract is held on each of these."""


def can_unshare() -> bool:
    return (
        shutil.which("unshare") is not None
        and not subprocess.run([*WAYS["namespaces"], "true"], check=False).returncode
    )


def make_road(way: str, request: pytest.FixtureRequest, tmp_path: Path) -> Road:
    marker = str(tmp_path)
    tools = None
    if way == "ssh":
        _, tools = request.getfixturevalue("ssh_place")
    if way == "namespaces" and not can_unshare():
        pytest.skip("no namespaces for us here")
    return Road(way, WAYS[way], tools, marker)


def ended(road: Road) -> None:
    for process in road.started:
        if process.poll() is None:
            process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()
    marker = "STILLFRAME_TEST_MARKER=" + road.environment["STILLFRAME_TEST_MARKER"]
    until(lambda: not with_marker(marker), 10, "the end of all processes of the test")
    if road.tools is not None:
        # What a login has started does not have the marker, but the path that our sshd gave it.
        until(lambda: not with_marker(str(road.tools)), 10, "the end of all that was started by way of ssh")


@pytest.fixture(params=WAYS)
def road(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Road]:
    """To each kind of place."""
    road = make_road(request.param, request, tmp_path)
    yield road
    ended(road)


@pytest.fixture(params=[way for way in WAYS if way != "local"])
def away(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Road]:
    """To each kind of place that is another process."""
    road = make_road(request.param, request, tmp_path)
    yield road
    ended(road)


@pytest.fixture
def shell(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Road]:
    """To a shell of this machine: for what is the same on all roads."""
    road = make_road("shell", request, tmp_path)
    yield road
    ended(road)


@pytest.fixture
def line_of() -> Callable[[subprocess.Popen[bytes]], bytes]:
    """The next line that a traveller prints."""

    def read(process: subprocess.Popen[bytes]) -> bytes:
        assert process.stdout is not None
        return process.stdout.readline()

    return read


@pytest.fixture
def gone() -> Callable[[int], None]:
    """Waits for the end of a process that is no child of ours."""
    return lambda pid: until(lambda: not is_alive(pid), 15, f"the end of process {pid}")
